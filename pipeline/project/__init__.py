"""What the user wrote, read into plain objects; no database."""
