"""Light rooms stay light: importing the command must not import the engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("duckdb", "polars", "sqlglot", "pydantic", "yaml", "zstandard", "tenacity", "rich.progress")


def _loaded(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_imports_nothing_heavy_before_it_knows_what_to_do() -> None:
    assert _loaded("import pipeline.cli").isdisjoint(HEAVY)


@pytest.mark.parametrize("room", ["pipeline.landing.look", "pipeline.landing.scan", "pipeline.project.source", "pipeline.demo"])
def test_rooms_without_a_database_do_not_import_one(room: str) -> None:
    assert "duckdb" not in _loaded(f"import {room}")


def test_polars_and_the_parser_are_imported_only_when_there_is_work_for_them() -> None:
    assert _loaded("import pipeline.runner").isdisjoint({"polars", "sqlglot"})
