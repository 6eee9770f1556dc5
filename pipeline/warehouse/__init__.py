"""Everything that touches the DuckDB file."""
