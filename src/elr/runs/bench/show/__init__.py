"""What a bench found: a table in four formats, paired differences with their intervals, pictures."""
