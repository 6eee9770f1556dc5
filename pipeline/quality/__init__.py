"""What is usual for a table, and what is not: mathematics over its history, no database."""
