"""The published data sets, a file each."""
