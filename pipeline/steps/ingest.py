"""landing -> bronze + quarantine: one transaction a group of files, the ledger in it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from pipeline.errors import FileRejected, PermanentError
from pipeline.failpoints import failpoint
from pipeline.landing.archive import path_of
from pipeline.landing.guard import Ready, carefully
from pipeline.landing.scan import FoundFile, settled, unchanged
from pipeline.project.graph import ROW_KINDS
from pipeline.project.source import Source
from pipeline.settings import bytes_of
from pipeline.steps.check import audit, batch_condition, forget_rows, judged
from pipeline.steps.context import Run, StepResult
from pipeline.steps.guards import delivery
from pipeline.steps.intake import (
    Tally,
    keep_all,
    look_at_all,
    make_all_ready,
    prepare_table,
    set_apart,
    take_away,
    without_known,
)
from pipeline.steps.overlay import overlay, raw_lines
from pipeline.steps.profile import profile
from pipeline.warehouse import load
from pipeline.warehouse.audits import Audit
from pipeline.warehouse.changes import record_batches
from pipeline.warehouse.ledger import (
    TableState,
    known_files,
    last_file_id,
    mark_stale,
    save_table,
    table_state,
)
from pipeline.warehouse.typed import reason


def ingest(
    run: Run,
    source: Source,
    files: Sequence[FoundFile],
    *,
    from_archive: bool = False,
    again: bool = False,
    record: Callable[[StepResult], None] = lambda result: None,
) -> StepResult:
    """Take the files of one source into bronze.

    A file counts once, by the hash of its content. Its ledger row and its
    bronze rows commit together; the archive copy is durable before, the file
    in landing/ goes after. A file that cannot be read goes to rejected/.
    With `again`, files that bronze holds are read anew from archive/ and take the place of their rows.
    `record` is called with the result in the transaction that audits the table, if files came.
    """
    work = run.project.settings.scratch / "ingest" / source.name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tally = Tally()
    from_archive = from_archive or again
    held = table_state(run.database, source.table)
    before = held or TableState(source.table)
    try:
        prepare_table(run, source, new=held is None)
        taken, growing = (
            (list(files), []) if from_archive else settled(files, run.project.settings.settle_seconds, run.clock)
        )
        tally.notes += [f"{file.name} is still growing" for file in growing]
        for batch in _batches(taken):
            _ingest_batch(run, source, batch, work, tally, from_archive, again)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    result = StepResult("succeeded", tally.rows_in, tally.rows_out, tally.quarantined, notes=tuple(tally.notes))
    state = table_state(run.database, source.table)
    if run.known is not None and state is not None:
        run.known.noted(state, {})
    if state is None or not (tally.taken or state.version != before.version):
        return result
    with run.database.transaction():
        found = _audited(run, source, before, state, tally, again)
        result = judged(source.table, result, found)
        record(result)
    if found is not None:
        run.audits.noted(found)
    return result


def _audited(
    run: Run, source: Source, before: TableState, state: TableState, tally: Tally, again: bool
) -> Audit | None:
    """What the contract says of the source's table after this run's files, and the guard of the delivery's size."""
    guard = None if again else delivery(run.database, source.name)
    came = batch_condition(before.watermark, state.watermark, tally.rows_out, before.version)
    forget_rows(run, source.table)
    guards = (guard,) if guard else ()
    if not again:
        profile(run, source.table, state.version, tally.rows_out, came.condition)
    return audit(run, source.table, state.version, state.kept, changed=None if again else came, guards=guards)


def _batches(files: Sequence[FoundFile]) -> Iterator[list[FoundFile]]:
    for at in range(0, len(files), 512):
        yield list(files[at : at + 512])


def _ingest_batch(
    run: Run, source: Source, files: list[FoundFile], work: Path, tally: Tally, from_archive: bool, again: bool
) -> None:
    looked = look_at_all(run, source, files, work, tally, from_archive)
    fresh = looked if again else without_known(run, source, looked, tally)
    ready = list(make_all_ready(run, source, fresh, tally))
    if not from_archive:
        keep_all(run, [file.looked for file in ready])
    for group in load.split(ready, bytes_of(run.project.settings.group_bytes)):
        _load_group(run, source, group, work, tally, again)


def _load_group(run: Run, source: Source, files: list[Ready], work: Path, tally: Tally, again: bool) -> None:
    """Read a group; what the fast reader did not read to the line is read again by the careful one."""
    columns = load.bronze_columns(run.database, source)
    group = load.Group(source, files, [], columns, again)
    exact = _read_exactly(run, group)
    still = [unchanged(file.looked.found) for file in files]
    if all(exact) and all(still):
        _commit_group(run, replace(group, ids=_numbers(run, files, again)), work, tally)
        return
    files, exact = _drop_moved(run, files, exact, still, tally)
    settings = run.project.settings
    good = [file for file, right in zip(files, exact, strict=True) if right]
    wrong = [file for file, right in zip(files, exact, strict=True) if not right]
    if group.careful and len(files) <= 1:
        for file in wrong:
            error = FileRejected("its records cannot be told apart", do="deliver it again, well-formed")
            set_apart(run, file.looked.found, file.looked.facts.sha256, error, tally)
        return
    more = [[file] for file in wrong] if group.careful else [[carefully(file, settings) for file in wrong]]
    for part in filter(None, (good, *more)):
        for same in load.split(part, bytes_of(settings.group_bytes)):
            _load_group(run, source, same, work, tally, again)


def _numbers(run: Run, files: list[Ready], again: bool) -> list[int]:
    """The numbers of files: the next ones, or those that they were given when they came."""
    if again:
        known = known_files(run.database)
        return [known[file.looked.facts.sha256][0] for file in files]
    first = last_file_id(run.database) + 1
    return list(range(first, first + len(files)))


def _read_exactly(run: Run, group: load.Group) -> list[bool]:
    """Read a group; for each file, whether the rows and broken lines are as many as the records counted in it."""
    try:
        load.read_group(run.database, group)
    except PermanentError:
        return [False for _ in group.files]
    counts = load.read_counts(run.database, group)
    return [
        place not in group.doubted and rows + broken == file.expected
        for place, (file, (rows, broken)) in enumerate(zip(group.files, counts, strict=True))
    ]


def _drop_moved(
    run: Run, files: list[Ready], exact: list[bool], still: list[bool], tally: Tally
) -> tuple[list[Ready], list[bool]]:
    """Leave out the files that were written to while they were read; they are taken once they are still."""
    kept = [(file, right) for file, right, same in zip(files, exact, still, strict=True) if same]
    for file, same in zip(files, still, strict=True):
        if not same:
            tally.notes.append(f"{file.looked.found.name} is still growing")
            path_of(run.project.settings.archive, file.looked.facts.sha256).unlink(missing_ok=True)
    return [file for file, _ in kept], [right for _, right in kept]


def _commit_group(run: Run, group: load.Group, work: Path, tally: Tally) -> None:
    database, source = run.database, group.source
    load.number_lines(database)
    side = work / "misfits"
    first = run.numbers.take(database, _write_misfits(run, group, side) + load.broken_lines(database))
    with database.transaction():
        before = load.content_of(database, group) if group.again else None
        came = _when_they_came(run, group)
        held = load.forget_rows(database, group) if group.again else (0, 0)
        load.insert_rows(database, group, run.now)
        load.insert_quarantine(database, group, side, first, run.run_id, run.now)
        overlay(run, group)
        counts = load.loaded_counts(database, group)
        load.check_balance(group, counts)
        kept, aside = (sum(column) for column in zip(*counts.values(), strict=True))
        _record_files(run, group, counts, came)
        same = before is not None and load.content_of(database, group) == before
        _save_bronze(run, source, group, (kept - held[0], aside - held[1]), same)
        failpoint("ingest.before_commit")
    failpoint("ingest.after_commit")
    for table in ("raw", "broken", "holes", "spans"):
        database.run(f"DROP TABLE IF EXISTS temp.{table}")
    for file in group.files:
        take_away(run, file.looked.found)
        for path in (file.looked.plain, file.path, file.broken, file.holes):
            if path is not None:
                path.unlink(missing_ok=True)
    tally.taken += len(group.files)
    tally.rows_in += kept + aside
    tally.rows_out += kept
    tally.quarantined += aside


def _write_misfits(run: Run, group: load.Group, side: Path) -> int:
    """The rows that do not fit, with their raw text fetched from the file, as CSV for the loader. Returns how many."""
    found = load.misfits(run.database, group)
    with open(side, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for place, rows in groupby(found, key=lambda misfit: misfit[0]):
            wanted = {line: bad for _, line, bad in rows}
            for line, raw in raw_lines(run, group.files[place], sorted(wanted)):
                column, why = reason(group.source, list(group.columns), wanted[line])
                writer.writerow((place, line, why, column, raw))
    return len(found)


def _when_they_came(run: Run, group: load.Group) -> dict[int, int]:
    """file_id -> the time the file bore in landing/ (nanoseconds since 1970)."""
    if group.again:
        return {file_id: modified for file_id, _, modified in known_files(run.database).values()}
    return {number: file.looked.found.modified_ns for number, file in zip(group.ids, group.files, strict=True)}


def _record_files(run: Run, group: load.Group, counts: dict[int, tuple[int, int]], came: dict[int, int]) -> None:
    rows, deliveries = [], []
    for place, file in enumerate(group.files):
        number, facts, found = group.ids[place], file.looked.facts, file.looked.found
        kept, aside = counts[number]
        blank = file.counts.blank if file.counts else len(file.gaps) - 1
        rows.append(
            (
                number,
                number,
                group.source.name,
                found.name,
                facts.sha256,
                facts.size,
                came[number],
                file.encoding,
                file.layout.delimiter,
                file.looked.compression,
                file.by_line,
                1 + blank + kept + aside,
                1,
                blank,
                kept,
                aside,
                file.notes,
                run.run_id,
                run.now,
            )
        )
        if not group.again:
            deliveries.append((run.run_id, found.name, facts.sha256, "loaded", number, None, run.now))
    run.database.insert_many(
        "INSERT INTO ledger.files SELECT s.*  EXCLUDE (run_id, loaded_at), "
        "(SELECT max(f.file_id) FROM ledger.files f WHERE f.path = s.path AND f.source = s.source AND f.file_id < s.file_id), "
        "run_id, loaded_at FROM",
        (
            "file_id",
            "batch",
            "source",
            "path",
            "sha256",
            "bytes",
            "modified_ns",
            "encoding",
            "delimiter",
            "compression",
            "by_line",
            "lines",
            "header_lines",
            "blank_lines",
            "bronze_rows",
            "quarantined_rows",
            "notes",
            "run_id",
            "loaded_at",
        ),
        rows,
    )
    run.database.insert_many("INSERT INTO ledger.deliveries SELECT * FROM", None, deliveries)


def _save_bronze(run: Run, source: Source, group: load.Group, more: tuple[int, int], same: bool) -> None:
    """Bring the table's state up to date by `more` rows kept and set aside; `same`: its rows are those of before."""
    state = table_state(run.database, source.table) or TableState(source.table)
    before, (kept, aside) = state.watermark, more
    state = replace(
        state,
        version=state.version + (0 if same else 1),
        watermark=max(before, *group.ids),
        rows_in=state.rows_in + kept + aside,
        kept=state.kept + kept,
        quarantined=state.quarantined + aside,
        run_id=run.run_id,
    )
    save_table(run.database, state, {}, run.now)
    graph = run.project.graph
    if group.again and not same:
        below = [name for name in graph.downstream([source.table]) if name in graph.models]
        mark_stale(run.database, [name for name in below if graph.models[name].header.kind in ROW_KINDS])
    elif not group.again and graph.watched(source.table):
        record_batches(run.database, source.table, state.version, min(group.ids) - 1, state.watermark, kept)
