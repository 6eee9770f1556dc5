"""Files as they come: found, settled, looked at, archived; no database."""
