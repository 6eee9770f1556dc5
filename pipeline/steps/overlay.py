"""Mends applied to files as they are read: whenever a file comes in again, so do what people did about its lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipeline.landing.guard import Ready, plain_chunks
from pipeline.landing.raw import record_lines
from pipeline.settings import bytes_of
from pipeline.sql import table_name
from pipeline.steps.context import Run
from pipeline.steps.mended import Failing, Key, Line, cast_lines, put_in_place
from pipeline.warehouse.load import Group
from pipeline.warehouse.mends import has_mends, mends_of


def raw_lines(run: Run, ready: Ready, wanted: list[int]) -> Iterator[tuple[int, str]]:
    """(line, raw text) of lines of a file that is being read."""
    limit = bytes_of(run.project.settings.max_line_bytes)
    return record_lines(
        lambda: plain_chunks(ready.looked.plain),
        ready.encoding,
        lambda: ready.layout,
        wanted,
        limit,
        by_line=ready.by_line,
    )


def overlay(run: Run, group: Group) -> None:
    """Put the mended lines of a group's files in their place, in the transaction that loads the group.

    A line that was fixed reads as its new text, one that was dropped goes to quarantine.
    """
    if not has_mends(run.database):
        return
    numbers = {file.looked.facts.sha256: number for file, number in zip(group.files, group.ids, strict=True)}
    fixed, dropped = dict[Key, str](), dict[Key, str]()
    for sha256, line, action, text in mends_of(run.database, group.source.name, list(numbers)):
        (fixed if action == "fix" else dropped)[numbers[sha256], line] = text
    layout = group.files[0].layout
    lines = [Line(key, text.encode("utf-8"), layout) for key, text in fixed.items()]
    keys = _standing(run, group, [*fixed, *dropped])
    if not keys:
        return
    failing = cast_lines(run, group.source, [line for line in lines if line.key in keys])
    failing = [replace(one, raw=fixed[one.key]) for one in failing]
    failing += _put_out(run, group, {key: why for key, why in dropped.items() if key in keys})
    put_in_place(run, group.source, keys, failing, "_file_id", held=len(keys))


def _standing(run: Run, group: Group, keys: list[Key]) -> set[Key]:
    """Those of some lines on which a record stands: all, unless the source has learnt to read its lines otherwise."""
    found = run.database.rows(
        f"SELECT _file_id, _line FROM {table_name(group.source.table)} WHERE list_contains(?, _file_id) UNION "
        "SELECT file_id, line FROM ledger.quarantine WHERE list_contains(?, file_id) AND source = ?",
        [files := [file_id for file_id, _ in keys], files, group.source.name],
    )
    return {(row[0], row[1]) for row in found}.intersection(keys)


def _put_out(run: Run, group: Group, dropped: dict[Key, str]) -> Iterator[Failing]:
    places = dict(zip(group.ids, group.files, strict=True))
    for file_id in sorted({file_id for file_id, _ in dropped}):
        lines = sorted(line for number, line in dropped if number == file_id)
        for line, raw in raw_lines(run, places[file_id], lines):
            yield Failing((file_id, line), f"dropped: {dropped[file_id, line]}", None, raw)
