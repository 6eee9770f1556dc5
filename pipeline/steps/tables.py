"""One gold table as Parquet: a file, or for a large table parts by key range, of which only the touched are written."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.errors import PublishError
from pipeline.failpoints import failpoint
from pipeline.project.model import Model
from pipeline.project.personal import check_told, marks
from pipeline.published import file_hash, sync
from pipeline.sql import columns_list, literal, quoted, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.whole import REWRITTEN
from pipeline.warehouse.changes import touched_keys
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import TableState, files_since

_FORMAT = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v1)"
_SAMPLE = 50_000  # rows looked at to cut a table into parts of like size


@dataclass(frozen=True)
class Part:
    """One file of a table: the rows whose first key column is in [low, high); None is no bound."""

    low: Any
    high: Any

    def where(self, column: str, blanks: bool) -> tuple[str, list[Any]]:
        """A condition and its values; rows without a key, if there are any, are in the last part.

        A condition with OR would have the engine read the table from end to end, so it is left out where it can be.
        """
        name, terms, values = quoted(column), [], []
        if self.low is not None:
            terms.append(f"{name} >= ?")
            values.append(self.low)
        if self.high is not None:
            terms.append(f"{name} < ?")
            values.append(self.high)
        text = " AND ".join(terms) or "true"
        return (f"({text} OR {name} IS NULL)" if blanks and self.high is None else text), values


def write_table(
    run: Run, model: Model, states: dict[str, TableState], beside: Path, last: dict[str, Any] | None
) -> dict[str, Any]:
    """Write a table into the new version's folder; its parts that have not changed are linked. Returns its manifest entry."""
    before = _entry_before(run, model, last)
    described, state = _described(run, model), states[model.name]
    name = model.name.partition(".")[2]
    files = _write_files(run, model, state, beside, last, before)
    sync(beside)
    failpoint("publish.after_parquet")
    rows = sum(file["rows"] for file in files)
    _check_rows(run.database, model, rows)
    return {
        **described,
        "file": f"{name}.parquet",
        "files": files,
        "rows": rows,
        "bytes": sum(file["bytes"] for file in files),
        "sha256": files[0]["sha256"] if len(files) == 1 else _joint_hash(files),
        "run_id": state.run_id,
        "input_files": _input_files(run, model, before),
        "last_batch": run.database.value("SELECT coalesce(max(batch), 0) FROM ledger.files"),
    }


def link_table(
    run: Run,
    model: Model,
    states: dict[str, TableState],
    beside: Path,
    last: dict[str, Any] | None,
) -> dict[str, Any] | None:
    """Link a table that has not changed since the last version. Returns its manifest entry, None if it must be written.

    Nothing is asked of the engine: a version has hundreds of tables and a run changes few of them.
    """
    if last is None or last["manifest"] is None or last["tables"].get(model.name) != states[model.name].version:
        return None
    name = model.name.partition(".")[2]
    before = last["manifest"]["tables"].get(name)
    if before is None or "files" not in before or name in last["damaged"]:
        return None
    try:
        _link(run, last["version"], before["files"], beside)
    except FileNotFoundError:
        shutil.rmtree(beside / f"{name}.parquet", ignore_errors=True)  # the parts linked so far
        return None
    return {**before, **_told(run, model, {column["name"]: column["type"] for column in before["columns"]})}


def _joint_hash(files: Sequence[dict[str, Any]]) -> str:
    """SHA-256 of the hashes of the parts, one a line."""
    return hashlib.sha256("\n".join(file["sha256"] for file in files).encode()).hexdigest()


def _write_files(
    run: Run, model: Model, state: TableState, beside: Path, last: dict[str, Any] | None, before: dict[str, Any] | None
) -> list[dict[str, Any]]:
    name, most = model.name.partition(".")[2], run.project.settings.parts_above
    if model.header.kind == "view" or not model.header.key or state.kept <= most:
        part = Part(None, None)
        return [_write(run, model, state, part, beside, f"{name}.parquet")]
    folder = beside / f"{name}.parquet"
    folder.mkdir()
    files: list[dict[str, Any]] = []
    for part, same in _parts(run, model, state, last, before):
        if same:
            _link(run, last["version"] if last else "", [same], beside)
            files.append(same)
        else:
            stamp = f"{name}.parquet/{len(files):04d}-{state.version}.parquet"
            files.append(_write(run, model, state, part, beside, stamp))
    sync(folder)
    return files


# ---------------------------------------------------------------- which parts
def _parts(
    run: Run, model: Model, state: TableState, last: dict[str, Any] | None, before: dict[str, Any] | None
) -> list[tuple[Part, dict[str, Any] | None]]:
    """Each part, with its file of the last version if no row of it has changed since."""
    parts = _parts_before(run, model, last, before)
    touched = _touched(run, model, state, last, parts) if parts else None
    if touched is None or before is None:
        return [(part, None) for part in _cut(run, model, Part(None, None), state.kept)]
    found: list[tuple[Part, dict[str, Any] | None]] = []
    for number, (part, file) in enumerate(zip(parts, before["files"], strict=True)):
        if number not in touched:
            found.append((part, file))
            continue
        where, values = _within(run, model, part)
        rows = int(run.database.value(f"SELECT count(*) FROM {table_name(model.name)} WHERE {where}", values))
        found += [(piece, None) for piece in _cut(run, model, part, rows)]
    return found


def _parts_before(run: Run, model: Model, last: dict[str, Any] | None, before: dict[str, Any] | None) -> list[Part]:
    """The parts of the last version, if those of the new one may be the same; else none."""
    if last is None or before is None or len(before["files"]) < 2 or before["business_key"] != model.header.key:
        return []
    columns = run.database.columns_of(table_name(model.name))
    if [column["name"] for column in before["columns"]] != list(columns):
        return []
    kind = columns[model.header.key[0]]
    texts = [text for file in before["files"] for text in (file["from"], file["to"])]  # at once: there may be hundreds
    bounds = run.database.value(f"SELECT CAST(CAST(? AS VARCHAR[]) AS {kind}[])", [texts])
    return [Part(low, high) for low, high in zip(bounds[::2], bounds[1::2], strict=True)]


def _touched(
    run: Run, model: Model, state: TableState, last: dict[str, Any] | None, parts: list[Part]
) -> set[int] | None:
    """The numbers of the parts in which a row has changed since the last version; None if that is not known."""
    seen, column = (last["tables"].get(model.name, 0) if last else 0), model.header.key[0]
    keys = touched_keys(run.database, model.name, seen, state.version, [column])
    if keys is None:
        return None
    highs = [part.high for part in parts[:-1]]
    cases = " ".join(f"WHEN {quoted(column)} < ? THEN {number}" for number in range(len(highs)))
    place = f"CASE {cases} ELSE {len(highs)} END"
    return {int(row[0]) for row in run.database.rows(f"SELECT DISTINCT {place} FROM ({keys})", highs)}


def _within(run: Run, model: Model, part: Part) -> tuple[str, list[Any]]:
    """The condition of a part's rows, and its values."""
    column = model.header.key[0]
    blank = f"SELECT count(*) FROM {table_name(model.name)} WHERE {quoted(column)} IS NULL"
    return part.where(column, part.high is None and bool(run.database.value(blank)))


def _cut(run: Run, model: Model, part: Part, rows: int) -> list[Part]:
    """Cut a part of more than twice the wanted size into pieces of about that size, by a sample of its keys."""
    size = run.project.settings.part_rows
    pieces = rows // size
    if rows <= 2 * size:
        return [part]
    column = quoted(model.header.key[0])
    where, values = _within(run, model, part)
    share = min(100.0, 100.0 * _SAMPLE / rows)
    shares = [number / pieces for number in range(1, pieces)]
    cuts = run.database.value(
        f"SELECT quantile_disc({column}, {shares}) FROM (SELECT {column} FROM {table_name(model.name)} WHERE {where}) "
        f"TABLESAMPLE bernoulli({share:.4f}%)",
        values,
    )
    edges = [part.low, *sorted({cut for cut in cuts or [] if cut is not None and cut != part.low}), part.high]
    return [Part(low, high) for low, high in pairwise(edges)]


# ---------------------------------------------------------------- one file
def _write(run: Run, model: Model, state: TableState, part: Part, beside: Path, name: str) -> dict[str, Any]:
    database, path = run.database, beside / name
    where, values = "true", list[Any]()
    if part != Part(None, None):
        where, values = _within(run, model, part)
    order = "" if _in_order(model, state) else f" ORDER BY {columns_list(model.header.key)}"
    rows_of = f"SELECT * FROM {table_name(model.name)} WHERE {where}{order}"
    database.run(f"COPY ({rows_of}) TO {literal(str(path))} {_FORMAT}", values)
    sync(path)
    rows = int(database.value("SELECT sum(num_rows) FROM parquet_file_metadata(?)", [str(path)]) or 0)
    return {
        "file": name,
        "rows": rows,
        "bytes": path.stat().st_size,
        "sha256": file_hash(path),
        "from": None if part.low is None else str(part.low),
        "to": None if part.high is None else str(part.high),
    }


def _in_order(model: Model, state: TableState) -> bool:
    """Whether the table lies in key order, as it does when it was last written whole; without a key any order is right."""
    rewritten = model.header.kind == "full" and state.kept <= REWRITTEN
    return not model.header.key or rewritten or (state.version == 1 and model.header.kind != "view")


def _link(run: Run, version: str, files: Sequence[dict[str, Any]], beside: Path) -> None:
    for file in files:
        folder, _, _ = file["file"].rpartition("/")
        if folder:
            (beside / folder).mkdir(exist_ok=True)
        os.link(f"{run.project.settings.published}/{version}/{file['file']}", f"{beside}/{file['file']}")


def _entry_before(run: Run, model: Model, last: dict[str, Any] | None) -> dict[str, Any] | None:
    """The table's entry in the last version, if that version and its files are still there."""
    published = run.project.settings.published
    if last is None or last["manifest"] is None:
        return None
    name = model.name.partition(".")[2]
    entry: dict[str, Any] | None = last["manifest"]["tables"].get(name)
    if entry is None or "files" not in entry or name in last["damaged"]:
        return None
    there = all((published / last["version"] / file["file"]).exists() for file in entry["files"])
    return entry if there else None


def _check_rows(database: Database, model: Model, written: int) -> None:
    """Rows of the written files, and of the table. Raises PublishError if they differ."""
    held = int(database.value(f"SELECT count(*) FROM {table_name(model.name)}"))
    if written != held:
        raise PublishError(
            f"the files have {written} rows but the table {held}", where=model.name, do="run again and report this"
        )


def _described(run: Run, model: Model) -> dict[str, Any]:
    return _told(run, model, run.database.columns_of(table_name(model.name)))


def _told(run: Run, model: Model, columns: dict[str, str]) -> dict[str, Any]:
    personal = run.project.personal
    check_told(personal, model, columns)
    return {
        "description": model.header.description,
        "key": [model.header.surrogate_key] if model.header.surrogate_key else model.header.key,
        "business_key": model.header.key,
        "foreign_keys": model.header.foreign_keys,
        "columns": [
            {"name": column, "type": kind, "description": model.header.columns.get(column, "")}
            | marks(personal, model, column)
            for column, kind in columns.items()
        ],
    }


def _input_files(run: Run, model: Model, before: dict[str, Any] | None) -> list[dict[str, str]]:
    """The files that came in since this table's last published file: what made it what it is."""
    sources = [name.partition(".")[2] for name in run.project.graph.sources_of(model.name)]
    since = int(before["last_batch"]) if before else 0
    return [{"path": path, "sha256": sha} for path, sha in files_since(run.database, sources, since)]
