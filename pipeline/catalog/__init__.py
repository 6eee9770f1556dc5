"""What the tables are: facts for `describe`, and the pages of the data catalog."""
