"""One task each: (warehouse, table, run) -> StepResult."""
