"""Gold in PostgreSQL, for reports that ask at each look: every published version is loaded beside and swapped in."""
