"""Readers of the layouts that published data sets share."""
