"""The tables of docs/: written from the code, so that they cannot fall behind it.

`python -m pipeline.reference` prints them; a test compares them with docs/.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel

from pipeline.metrics.families import FAMILIES
from pipeline.project.channel import ChannelFile
from pipeline.project.flow import FlowFile
from pipeline.project.header import Header
from pipeline.project.metric import MetricFile
from pipeline.project.modeltest import TestFile, TestsFile
from pipeline.project.project import ProjectFile
from pipeline.project.promise import Deadline, TableFile
from pipeline.project.retention import RetentionFile
from pipeline.project.role import RoleFile
from pipeline.project.source import Column, SourceFile
from pipeline.settings import SETTINGS, Setting


def settings_table() -> str:
    """Every setting, its variable, its default and what it does."""
    rows: list[tuple[str, ...]] = [
        (f"`{row.name}`", f"`{row.variable}`", _default(row), row.help)
        for row in SETTINGS
    ]
    return _table(("setting", "variable", "default", "what it does"), rows)


def metrics_table() -> str:
    """Every family of metrics."""
    rows: list[tuple[str, ...]] = [
        (f"`{row.name}`", row.kind, ", ".join(f"`{label}`" for label in row.labels), row.help) for row in FAMILIES
    ]
    return _table(("metric", "kind", "labels", "what it says"), rows)


def _default(row: Setting) -> str:
    if row.name == "threads":
        return "the cores"
    return f"`{row.default}`" if row.default else "none"


def keys_table(kind: type[BaseModel]) -> str:
    """Every key of a YAML block and what it means."""
    rows: list[tuple[str, ...]] = []
    for name, field in kind.model_fields.items():
        need = "required" if field.is_required() else ""
        rows.append((f"`{field.alias or name}`", need, field.description or ""))
    return _table(("key", "", "what it says"), rows)


def _table(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [names, tuple("---" for _ in names), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings_table,
    "docs/sources.md": lambda: keys_table(SourceFile),
    "docs/sources.md#columns": lambda: keys_table(Column),
    "docs/models.md": lambda: keys_table(Header),
    "docs/testing-models.md": lambda: keys_table(TestsFile),
    "docs/testing-models.md#test": lambda: keys_table(TestFile),
    "docs/start.md": lambda: keys_table(ProjectFile),
    "docs/service.md": lambda: keys_table(FlowFile),
    "docs/monitoring.md": metrics_table,
    "docs/monitoring.md#figures": lambda: keys_table(MetricFile),
    "docs/feed.md#roles": lambda: keys_table(RoleFile),
    "docs/service.md#tables": lambda: keys_table(TableFile),
    "docs/service.md#deadlines": lambda: keys_table(Deadline),
    "docs/service.md#retention": lambda: keys_table(RetentionFile),
    "docs/service.md#channels": lambda: keys_table(ChannelFile),
}

if __name__ == "__main__":
    for place, table in TABLES.items():
        print(f"{place}\n{table()}\n")
