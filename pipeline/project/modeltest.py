"""Tests of models: rows given, rows expected, as `<table>.test.yml` beside the model says."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.errors import ProjectError
from pipeline.project.graph import Graph
from pipeline.project.yamlfile import checked, line_of, read_yaml

SUFFIX = ".test.yml"


def _rows(value: object) -> object:
    """Rows as a list of mappings, or as a block of CSV in which a blank is NULL."""
    if not isinstance(value, str):
        return value
    reader = csv.DictReader(io.StringIO(value.strip() + "\n"), skipinitialspace=True)
    return [{str(name).strip(): (text or "").strip() or None for name, text in row.items()} for row in reader]


Rows = Annotated[list[dict[str, Any]], BeforeValidator(_rows)]


class StepFile(BaseModel):
    """One drop of rows, and what the table must be after it."""

    model_config = ConfigDict(extra="forbid")

    given: dict[str, Rows] = Field(
        default_factory=dict, description="table: rows that come in; a table with a key takes them in place of its own"
    )
    expect: Rows | None = Field(
        None, description="The table's rows after that, in any order; columns not named may be anything"
    )
    set_aside: dict[str, int] | None = Field(None, description="reason: how many rows are in the table's quarantine")


class TestFile(StepFile):
    """One test: a single step, or several one after the other."""

    steps: list[StepFile] = Field(default_factory=list, description="Several drops one after the other, each as above")

    @model_validator(mode="after")
    def _one_way(self) -> TestFile:
        if self.steps and (self.given or self.expect is not None or self.set_aside is not None):
            raise ValueError("a test has steps, or one step of its own, not both")
        for step in self.all_steps():
            if step.expect is None and step.set_aside is None:
                raise ValueError("a step needs `expect` or `set_aside`")
        return self

    def all_steps(self) -> Sequence[StepFile]:
        """Its steps, in order."""
        return self.steps or [self]


class TestsFile(BaseModel):
    """The keys of a test file."""

    model_config = ConfigDict(extra="forbid")

    tests: dict[str, TestFile] = Field(description="The tests, by a name that says what is promised")


@dataclass(frozen=True)
class ModelTest:
    """One test as read."""

    table: str
    name: str
    path: Path
    line: int
    steps: Sequence[StepFile]


def find_tests(sql: Path, graph: Graph) -> dict[str, list[ModelTest]]:
    """Table -> its tests. Raises ProjectError with file and line."""
    return {
        table: _read(path, table, graph)
        for path in sorted(sql.glob(f"*/*{SUFFIX}"))
        if (table := f"{path.parent.name}.{path.name.removesuffix(SUFFIX)}")
    }


def _read(path: Path, table: str, graph: Graph) -> list[ModelTest]:
    if table not in graph.models:
        raise ProjectError(f"there is no model {table} to test", where=f"{path}:1", do="name the file after a model")
    text = path.read_text(encoding="utf-8")
    file = checked(TestsFile, read_yaml(text, path), text, path)
    above = graph.upstream([table]) - {table}
    found = []
    for name, test in file.tests.items():
        line = line_of(text, ("tests", name))
        strangers = sorted({given for step in test.all_steps() for given in step.given} - above)
        if strangers:
            raise ProjectError(
                f"{name!r} gives rows of {strangers[0]}, which {table} is not made of",
                where=f"{path}:{line}",
                do=f"it is made of {', '.join(sorted(above))}",
            )
        found.append(ModelTest(table, name, path, line, test.all_steps()))
    return found
