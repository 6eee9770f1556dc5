"""A model's SELECT, narrowed to some rows of its one input and widened by their lineage."""

from __future__ import annotations

from pipeline.project.model import Model, RowSelect
from pipeline.project.source import Operation
from pipeline.sql import literal, quoted

CARRIED = ("_file_id", "_line", "_batch")
DELETED = "_deleted"


def new_rows(model: Model, operation: Operation | None = None) -> str:
    """SQL for the model's rows whose batch is above the first parameter, with their lineage columns.

    With an `operation` there is also `_deleted`: whether the row takes its key away. Raises ProjectError when the SELECT
    is none that rows go through one by one.
    """
    rows = _row_select(model)
    carried = ", ".join(f"{rows.alias}.{name}" for name in carried_columns(operation))
    deletes = f", {_deletes(operation)} AS {DELETED}" if operation and model.inputs[0].startswith("bronze.") else ""
    return f"SELECT {rows.shown}, {carried} FROM (SELECT *{deletes} FROM {rows.table} WHERE _batch > ?) AS {rows.alias}"


def _row_select(model: Model) -> RowSelect:
    if model.said.rows is None:
        from pipeline.project.select import check_rows  # with the parser, 60 ms

        check_rows(model)
        raise AssertionError("a SELECT without trouble has its parts")
    return model.said.rows


def carried_columns(operation: Operation | None) -> tuple[str, ...]:
    """The lineage columns that a row takes with it."""
    return (*CARRIED, DELETED) if operation else CARRIED


def _deletes(operation: Operation) -> str:
    words = ", ".join(literal(word.strip()) for word in operation.delete)
    return f"coalesce(trim(CAST({quoted(operation.column)} AS VARCHAR)) IN ({words}), false)"
