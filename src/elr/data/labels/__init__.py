"""Class names as people write them: which spellings are one class, which say that there is no label."""
