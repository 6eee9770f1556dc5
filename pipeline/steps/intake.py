"""From a file in landing/ to a file the loader can read: looked at, known or new, archived, laid out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path

from pipeline.errors import FileChanged, FileRejected, PermanentError
from pipeline.failpoints import failpoint
from pipeline.landing.archive import Delivery, path_of
from pipeline.landing.guard import Looked, Ready, archive_writer, look_at, make_ready, reject
from pipeline.landing.scan import FoundFile, unchanged
from pipeline.project.source import Source
from pipeline.published import sync
from pipeline.sql import quoted, table_name
from pipeline.steps.context import Run
from pipeline.warehouse import load
from pipeline.warehouse.ledger import TableState, known_files, record_delivery, save_table, source_of


@dataclass
class Tally:
    """What a task has done so far: rows, files taken, and notes for the person who reads the summary."""

    rows_in: int = 0
    rows_out: int = 0
    quarantined: int = 0
    taken: int = 0
    notes: list[str] = field(default_factory=list)


def prepare_table(run: Run, source: Source, *, new: bool) -> None:
    """Make the bronze table, or add the columns declared since it was made. A changed type is refused."""
    if new:
        with run.database.transaction():
            load.create_bronze(run.database, source)
            save_table(run.database, TableState(source.table, run_id=run.run_id), {}, run.now)
    present = load.bronze_columns(run.database, source)
    for name, column in source.columns.items():
        if name not in present:
            _add_column(run, source, name, column.type.upper())
        elif not run.database.same_type(present[name], column.type):
            raise PermanentError(
                f"the column {name} is {present[name]} in the warehouse but {column.type} in {source.path.name}",
                where=source.table,
                do="move warehouse.duckdb away and type `goldfeed run --from-archive`",
            )


def _add_column(run: Run, source: Source, name: str, kind: str) -> None:
    with run.turns.alone():
        run.database.run(f"ALTER TABLE {table_name(source.table)} ADD COLUMN {quoted(name)} {kind}")
        failpoint("evolve.after_alter")
        run.database.checkpoint()  # DESIGN.md, duckdb#22124


def look_at_all(
    run: Run, source: Source, files: list[FoundFile], work: Path, tally: Tally, from_archive: bool
) -> list[Looked]:
    settings = run.project.settings
    first = int(run.now.replace(tzinfo=UTC).timestamp() * 1e6)

    def one(numbered: tuple[int, FoundFile]) -> Looked | FileRejected | FileChanged:
        number, file = numbered
        notes = Delivery(source.name, file.name, file.modified_ns, first + number)
        kept = from_archive or file.path.is_relative_to(settings.archive)
        writer = None if kept else archive_writer(settings.archive, work, number, notes)
        try:
            return look_at(file, work, number, replace(settings, max_ratio=0) if kept else settings, writer)
        except (FileRejected, FileChanged) as error:
            return error

    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(one, enumerate(files)))
    found = []
    for file, result in zip(files, results, strict=True):
        run.reporter.task_advanced(f"ingest {source.table}", file.size)
        if isinstance(result, Looked):
            found.append(result)
        elif isinstance(result, FileRejected):
            set_apart(run, file, None, result, tally)
        else:
            tally.notes.append(result.sentence())
    return found


def set_apart(run: Run, file: FoundFile, sha256: str | None, error: FileRejected, tally: Tally) -> None:
    tally.notes.append(f"{file.name} was rejected: {error.sentence()}")
    if file.path.is_relative_to(run.project.settings.landing):
        reject(file, run.project.settings.rejected, error)
    elif sha256 is None:
        return
    with run.database.transaction():
        record_delivery(run.database, run.run_id, file.name, sha256, "rejected", run.now, reason=error.sentence())


def without_known(run: Run, source: Source, looked: list[Looked], tally: Tally) -> list[Looked]:
    """Drop files whose content came before, in the ledger or in this very batch."""
    known, fresh, seen = known_files(run.database), [], set[str]()
    duplicates: list[tuple[Looked, int | None, bool]] = []
    for file in looked:
        before = known.get(file.facts.sha256)
        if before is None and file.facts.sha256 not in seen:
            seen.add(file.facts.sha256)
            fresh.append(file)
            continue
        other = source_of(run.database, before[0]) if before else source.name
        if before and other != source.name:
            _refuse_twin(run, file, before[1], other, tally)
            continue
        leftover = before is not None and before[1:] == (file.found.name, file.found.modified_ns)
        duplicates.append((file, before[0] if before else None, leftover))
    _drop_duplicates(run, duplicates, tally)
    return fresh


def _refuse_twin(run: Run, file: Looked, name: str, source: str, tally: Tally) -> None:
    """The same bytes for two sources: a content counts once, but nobody shall wonder where these rows are."""
    file.forget()
    error = FileRejected(
        f"its content is that of {name}, which came in as {source}, and a content counts once",
        do="if it belongs to both, add a column that tells them apart",
    )
    set_apart(run, file.found, file.facts.sha256, error, tally)


def _drop_duplicates(run: Run, duplicates: list[tuple[Looked, int | None, bool]], tally: Tally) -> None:
    """Remove duplicates from landing/. One that a crash left behind after its commit is no new delivery."""
    for file, file_id, leftover in duplicates:
        file.forget()
        if not leftover:
            tally.notes.append(f"{file.found.name} is a duplicate of a file taken before")
            with run.database.transaction():
                record_delivery(
                    run.database,
                    run.run_id,
                    file.found.name,
                    file.facts.sha256,
                    "duplicate",
                    run.now,
                    file_id=file_id,
                    reason="the same content was taken before",
                )
        take_away(run, file.found)


def take_away(run: Run, file: FoundFile) -> None:
    if file.path.is_relative_to(run.project.settings.landing) and unchanged(file):
        os.unlink(file.path)
        failpoint("ingest.after_unlink")


def make_all_ready(run: Run, source: Source, looked: Iterable[Looked], tally: Tally) -> Iterator[Ready]:
    evolved = set(load.bronze_columns(run.database, source))
    for file in looked:
        try:
            ready = make_ready(file, source, evolved, run.project.settings)
        except FileRejected as error:
            file.forget()
            set_apart(run, file.found, file.facts.sha256, error, tally)
            continue
        for name in ready.layout.new_columns:
            _add_column(run, source, name, "VARCHAR")
            evolved.add(name)
            tally.notes.append(f"{file.found.name} brought the new column {name}")
        if ready.layout.absent:
            tally.notes.append(f"{file.found.name} lacks {', '.join(ready.layout.absent)}")
        yield ready


def keep_all(run: Run, files: Sequence[Looked]) -> None:
    """Make the archive copies durable. Eight at a time: the disk syncs many for little more than the price of one."""
    if not files:
        return
    with ThreadPoolExecutor(max_workers=8) as pool:
        for _ in pool.map(lambda file: _keep(run, file), files):
            pass
    sync(run.project.settings.archive)


def _keep(run: Run, file: Looked) -> None:
    if file.archive is None:
        return
    if path_of(run.project.settings.archive, file.facts.sha256).exists():
        file.archive.discard()
    else:
        file.archive.keep(file.facts.sha256)
