"""One gold table as Parquet: a file, or for a large table parts by key range, of which only the touched are written."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import PublishError
from pipeline.failpoints import failpoint
from pipeline.project.model import Model
from pipeline.project.personal import check_told, marks
from pipeline.published import file_hash, sync
from pipeline.sql import columns_list, literal, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.whole import REWRITTEN
from pipeline.steps.parts import Part, parts_of, within
from pipeline.steps.splice import splice
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import TableState, files_since

# dictionaries of more words cost a quarter of the time of a file (200,000 rows) and save next to nothing of its size
_FORMAT = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v1, DICTIONARY_SIZE_LIMIT 10000"
_GROUP = 61_440  # rows that the engine packs at a time; twice as many take about 15 MB more of a run's memory and save 1% of the files


def write_table(
    run: Run, model: Model, states: dict[str, TableState], beside: Path, last: dict[str, Any] | None, *, at_once: int = 1
) -> dict[str, Any]:
    """Write a table into the new version's folder; its parts that have not changed are linked. Returns its manifest entry.

    `at_once`: how many parts are written side by side. Each is one group of rows, which the engine packs with one core.
    """
    before = _entry_before(run, model, last)
    described, state = _described(run, model), states[model.name]
    name = model.name.partition(".")[2]
    files = _write_files(run, model, state, beside, last, before, at_once)
    sync(beside)
    failpoint("publish.after_parquet")
    rows = sum(file["rows"] for file in files)
    _check_rows(run.database, model, rows)
    return {
        **described,
        "file": f"{name}.parquet",
        "files": files,
        "cut_by": model.header.order[0] if len(files) > 1 else None,
        "rows": rows,
        "bytes": sum(file["bytes"] for file in files),
        "sha256": files[0]["sha256"] if len(files) == 1 else _joint_hash(files),
        "run_id": state.run_id,
        **_input_files(run, model, before),
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
    run: Run,
    model: Model,
    state: TableState,
    beside: Path,
    last: dict[str, Any] | None,
    before: dict[str, Any] | None,
    at_once: int,
) -> list[dict[str, Any]]:
    name, most = model.name.partition(".")[2], run.project.settings.parts_above
    if model.header.kind == "view" or not model.header.key or state.kept <= most:
        part = Part(None, None)
        return [_write(run, model, state, part, beside, f"{name}.parquet")]
    folder = beside / f"{name}.parquet"
    folder.mkdir()

    def one(number: int, part: Part) -> dict[str, Any]:
        stamp = f"{name}.parquet/{number:04d}-{state.version}.parquet"
        if at_once == 1 or part.stands:
            return _of_part(run, model, state, part, last, beside, stamp)
        with closing(run.database.another(bare=True)) as own:
            own.keep_order()
            return _of_part(replace(run, database=own), model, state, part, last, beside, stamp)

    parts = parts_of(run, model, state, last, before)
    with ThreadPoolExecutor(at_once) as pool:
        files = list(pool.map(one, range(len(parts)), parts))
    sync(folder)
    return files


def _of_part(
    run: Run, model: Model, state: TableState, part: Part, last: dict[str, Any] | None, beside: Path, name: str
) -> dict[str, Any]:
    """One part's file: the last version's, if it is as it was, or with the columns that have changed; else written."""
    if part.before is None or last is None:
        return _write(run, model, state, part, beside, name)
    if part.stands:
        _link(run, last["version"], [part.before], beside)
        return part.before
    old = run.project.settings.published / last["version"] / part.before["file"]
    if not _rewrite_columns(run, model, part, old, beside / name):
        return _write(run, model, state, part, beside, name)
    return {**part.before, **_facts(beside / name), "file": name}


# ---------------------------------------------------------------- one file
def _write(run: Run, model: Model, state: TableState, part: Part, beside: Path, name: str) -> dict[str, Any]:
    database, path = run.database, beside / name
    where, values = "true", list[Any]()
    if part.is_piece:
        where, values = within(run, model, part)
    order = "" if _in_order(model, state) else f" ORDER BY {columns_list(model.header.order)}"
    rows_of = f"SELECT * FROM {table_name(model.name)} WHERE {where}{order}"
    rows = database.made(f"COPY ({rows_of}) TO {literal(str(path))} ({_format(run, part)})", values)
    bounds = {"from": None if part.low is None else str(part.low), "to": None if part.high is None else str(part.high)}
    return {"file": name, "rows": rows, **_facts(path), **bounds}


def _format(run: Run, part: Part) -> str:
    """A piece of a table is one group of rows: where the engine cuts groups varies, and columns go over only between files cut alike."""
    rows = max(_GROUP, 2 * run.project.settings.part_rows) if part.is_piece else _GROUP
    return f"{_FORMAT}, ROW_GROUP_SIZE {rows}"


def _facts(path: Path) -> dict[str, Any]:
    """What the manifest says of a file that has just been written, once it is on the disk."""
    sync(path)
    return {"bytes": path.stat().st_size, "sha256": file_hash(path)}


def _rewrite_columns(run: Run, model: Model, part: Part, old: Path, path: Path) -> bool:
    """Write a part's file as it was but for the columns that have changed. False when it must be written whole.

    The old file is checked first, or a bit that flipped in it would be sealed anew; and that keys differ, or rows of one key
    could have changed places. The keys are packed once more, to see that they lie in the old file as they do now.
    """
    database, before, keys = run.database, part.before or {}, model.header.order
    order = columns_list(keys)
    where, values = within(run, model, part)
    source, key = f"{table_name(model.name)} WHERE {where}", f"row({order})" if len(keys) > 1 else order
    if not _numbered(model):
        rows, differing = database.rows(f"SELECT count(*), count(DISTINCT {key}) FROM {source}", values)[0]
        if not rows == differing == before["rows"]:
            return False
    if file_hash(old) != before["sha256"]:
        return False
    narrow = path.with_suffix(".columns")
    try:
        columns = columns_list([*keys, *sorted(part.changed)])
        database.run(f"COPY (SELECT {columns} FROM {source} ORDER BY {order}) TO {literal(str(narrow))} ({_format(run, part)})", values)
        failpoint("publish.after_columns")
        splice(old, narrow, path, keys=keys)
    except (ValueError, LookupError):  # the second: a footer that lacks what is looked for
        path.unlink(missing_ok=True)
        return False
    finally:
        narrow.unlink(missing_ok=True)
    return True


def _numbered(model: Model) -> bool:
    """Whether every row bears another number by the way it is made; elsewhere a contract says so, or nothing."""
    return model.header.kind == "scd2" and model.header.surrogate_key is not None


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
    return _told(run, model, run.shape(model.name))


def _told(run: Run, model: Model, columns: dict[str, str]) -> dict[str, Any]:
    personal = run.project.personal
    check_told(personal, model, columns)
    return {
        "description": model.header.description,
        "key": model.header.order,
        "business_key": model.header.key,
        "foreign_keys": model.header.foreign_keys,
        "columns": [
            {"name": column, "type": kind, "description": model.header.columns.get(column, "")}
            | marks(personal, model, column)
            for column, kind in columns.items()
        ],
    }


def _input_files(run: Run, model: Model, before: dict[str, Any] | None) -> dict[str, Any]:
    """The files that came in since this table's last published file: what made it what it is; and the last batch of all."""
    sources = [name.partition(".")[2] for name in run.project.graph.sources_of(model.name)]
    files, last = files_since(run.database, sources, int(before["last_batch"]) if before else 0)
    return {"input_files": [{"path": path, "sha256": sha} for path, sha in files], "last_batch": last}
