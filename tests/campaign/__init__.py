"""The fault campaign: what can go wrong for people, made to go wrong on purpose. Run by scripts/campaign."""
