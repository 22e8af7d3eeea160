"""Images in files that are no class folders: those that a table names, and those in tars."""
