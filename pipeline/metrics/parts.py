"""A part of the exposition, written again only where it reads otherwise than before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.metrics.families import BY_NAME
from pipeline.metrics.text import Labels, Sheet, Starts, heading
from pipeline.project.project import Project

Write = Callable[[Any, Project, Sheet], None]


class Part:
    """Samples that are written together. What is told of them must not be changed afterwards: it is compared."""

    def __init__(self, write: Write, project: Project, starts: Starts) -> None:
        self._write, self._project, self._starts = write, project, starts
        self._facts: Any = None
        self._text = ""

    def text(self, facts: Any) -> str:
        """All of it."""
        if self._facts is None or self._facts != facts:
            sheet = Sheet(self._starts)
            self._write(facts, self._project, sheet)
            self._facts, self._text = facts, sheet.text()
        return self._text


class Grown:
    """Counters and gauges of many tables, with the labels layer and table first.

    Only those tables are written again of which something else is told than before. A table may lose series of a family,
    but not all of them.
    """

    def __init__(self, write: Write, project: Project, starts: Starts) -> None:
        self._write, self._project, self._starts = write, project, starts
        self._facts: Mapping[Any, Any] = {}
        self._lines: dict[str, dict[Labels, str]] = {}  # of each family, by layer and table

    def text(self, facts: Mapping[Any, Any]) -> str:
        """All of it; `facts` by table, as in `Part`."""
        if not self._facts.keys() <= facts.keys():
            self._facts, self._lines = {}, {}
        sheet, before = Sheet(self._starts), self._facts
        self._write({key: of for key, of in facts.items() if before.get(key) != of}, self._project, sheet)
        for name, lines in sheet.lines(2).items():
            self._lines.setdefault(name, {}).update(lines)
        self._facts = facts
        return "".join(map(self._family, self._lines))

    def _family(self, name: str) -> str:
        lines = self._lines[name]
        return heading(BY_NAME[f"goldfeed_{name}"]) + "".join(lines.values()) if lines else ""
