"""Which given labels the evidence contradicts, for people and for other tools."""
