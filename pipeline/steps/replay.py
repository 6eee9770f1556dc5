"""quarantine -> bronze: lines that were set aside, run again as the source is declared now, exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from pipeline.errors import FileRejected
from pipeline.failpoints import failpoint
from pipeline.landing.archive import content, path_of
from pipeline.landing.header import Layout, read_layout
from pipeline.landing.look import CHUNK, python_encoding
from pipeline.landing.raw import record_bytes
from pipeline.project.graph import ROW_KINDS, Graph
from pipeline.project.source import Source
from pipeline.settings import bytes_of
from pipeline.sql import table_name
from pipeline.steps.context import Run, StepResult
from pipeline.steps.intake import prepare_table
from pipeline.steps.mended import Failing, Key, Line, Moved, cast_lines, put_in_place
from pipeline.warehouse import load
from pipeline.warehouse.changes import record_batches
from pipeline.warehouse.database import Database, Row
from pipeline.warehouse.ledger import TableState, last_file_id, mark_stale, save_table, table_state
from pipeline.warehouse.mends import QUARANTINE


@dataclass(frozen=True)
class Replay:
    """Which rows to run again: of a source or table, whose reason holds a text, or those with a mend not yet tried."""

    source: str | None = None
    reason: str | None = None
    mended: bool = False

    def where(self) -> tuple[str, list[Any]]:
        """A condition on the rows `q` of quarantine that were not dropped, and its values."""
        terms, values = ["q.dropped IS NULL"], list[Any]()
        if self.source is not None:
            name = self.source.removeprefix("bronze.")
            terms.append("(q.source = ? OR q.source LIKE '%.' || ?)" if "." not in self.source else "q.source = ?")
            values += [name] if "." in self.source else [name, name]
        if self.reason is not None:
            terms.append("contains(lower(q.reason), lower(?))")
            values.append(self.reason)
        if self.mended:
            terms.append("q.mend IS DISTINCT FROM q.raw AND q.mend IS NOT NULL")
        return " AND ".join(terms), values


# the rows of a model whose line was mended since: their line must be put in its place in bronze
_MENDED_BELOW = "q.source <> q.file_source AND q.mend IS NOT NULL AND q.mend IS DISTINCT FROM q.raw"


def tables_to_replay(database: Database, graph: Graph, wanted: Replay) -> dict[str, int]:
    """Table -> rows to run again. A model's rows come in when it is rebuilt, which a mended rule brings about."""
    where, values = wanted.where()
    found = database.rows(
        f"SELECT q.source, q.file_source, {_MENDED_BELOW}, count(*) FROM {QUARANTINE} q WHERE {where} GROUP BY ALL "
        "ORDER BY ALL",
        values,
    )
    tables: dict[str, int] = {}
    for name, source, mended, rows in found:
        below = [f"bronze.{source}"] if mended or name == source else []
        for table in (*below, *([name] if name != source else [])):
            if table in graph.sources or table in graph.models:
                tables[table] = tables.get(table, 0) + int(rows)
    return tables


def replay(run: Run, source: Source, wanted: Replay) -> StepResult:
    """Run a source's rows again; what fits goes to bronze in a batch of its own, in one transaction with the ledger.

    A row keeps its file and its line, so ties are decided as if it had been good at once.
    """
    prepare_table(run, source, new=table_state(run.database, source.table) is None)
    found = _lines_of(run, source, wanted)
    if not found:
        return StepResult("unchanged")
    lines, failing = _records(run, source, found)
    given = {line.key for line in lines}.union(one.key for one in failing)
    raws = {(row[0], row[1]): row[2] for row in found if (row[0], row[1]) in given}
    failing = [replace(one, raw=raws[one.key]) for one in (*failing, *cast_lines(run, source, lines))]
    with run.database.transaction():
        batch = last_file_id(run.database) + 1
        before = _in_bronze(run, source, list(raws))
        moved = put_in_place(run, source, raws, failing, str(batch), held=len(raws))
        if moved.changed:
            _count_files(run, source, list(raws), before)
            _note(run, source, moved, batch)
        failpoint("replay.before_commit")
    failpoint("replay.after_commit")
    status = "succeeded" if moved.changed else "unchanged"
    return StepResult(status, len(raws), moved.came, len(failing))


def _lines_of(run: Run, source: Source, wanted: Replay) -> list[Row]:
    """(file_id, line, mended text or None) of the rows to run again, in order."""
    where, values = wanted.where()
    return run.database.rows(
        f"SELECT DISTINCT q.file_id, q.line, q.mend FROM {QUARANTINE} q WHERE {where} AND q.file_source = ? "
        f"AND (q.source = q.file_source OR {_MENDED_BELOW}) ORDER BY 1, 2",
        [*values, source.name],
    )


def _records(run: Run, source: Source, found: Sequence[Row]) -> tuple[list[Line], list[Failing]]:
    """The text of each row: its mend, or the line as it stands in archive/; none where archive/ has lost the file."""
    lines, failing = list[Line](), list[Failing]()
    columns = set(load.bronze_columns(run.database, source))
    for file_id, rows in groupby(found, key=lambda row: int(row[0])):
        texts = {int(line): mend for _, line, mend in rows}
        try:
            lines += _of_file(run, source, file_id, texts, columns)
        except FileRejected as error:
            failing += [Failing((file_id, line), error.what, None) for line in texts]
    return lines, failing


def _of_file(run: Run, source: Source, file_id: int, texts: dict[int, str | None], columns: set[str]) -> Iterator[Line]:
    """The lines of one file; those that archive/ does not give are left out. Raises FileRejected for its header."""
    settings = run.project.settings
    sha256, encoding, by_line = run.database.rows(
        "SELECT sha256, encoding, by_line FROM ledger.files WHERE file_id = ?", [file_id]
    )[0]
    path = path_of(settings.archive, sha256)
    if not path.exists():
        return
    head = next(content(path, CHUNK), b"").decode(python_encoding(encoding), "replace")
    layout = _known_fields(read_layout(head, source, columns, settings.max_columns), columns)
    wanted = sorted(line for line, text in texts.items() if text is None)
    limit = bytes_of(settings.max_line_bytes)
    found = record_bytes(lambda: content(path, CHUNK), encoding, lambda: layout, wanted, limit, by_line=by_line)
    for line, data in found:
        yield Line((file_id, line), data, layout, encoding != "utf-8")
    for line, text in texts.items():
        if text is not None:
            yield Line((file_id, line), text.encode("utf-8"), layout)


def _known_fields(layout: Layout, columns: set[str]) -> Layout:
    """A layout without the fields that bronze has no column for."""
    return replace(layout, fields=tuple(name if name in columns else None for name in layout.fields))


def _note(run: Run, source: Source, moved: Moved, batch: int) -> None:
    """Bring the ledger up to date: the table's state, and what those below must do."""
    database, graph = run.database, run.project.graph
    state = table_state(database, source.table) or TableState(source.table)
    more = moved.came - moved.left
    after = replace(
        state,
        version=state.version + 1,
        watermark=batch,
        kept=state.kept + more,
        quarantined=state.quarantined - more,
        run_id=run.run_id,
    )
    save_table(database, after, {}, run.now)
    if moved.left:
        below = [name for name in graph.downstream([source.table]) if name in graph.models]
        mark_stale(database, [name for name in below if graph.models[name].header.kind in ROW_KINDS])
    elif graph.watched(source.table):
        record_batches(database, source.table, after.version, batch - 1, batch, moved.came)


def _count_files(run: Run, source: Source, keys: Sequence[Key], before: dict[int, int]) -> None:
    """Move rows between the two accounts of their files, so that lines = header + blank + bronze + quarantine stays.

    `before`: file_id -> how many of the lines stood in bronze. What retention took away stays counted.
    """
    after = _in_bronze(run, source, keys)
    moved = [(file_id, after.get(file_id, 0) - before.get(file_id, 0)) for file_id in after.keys() | before.keys()]
    run.database.run(
        "UPDATE ledger.files f SET bronze_rows = f.bronze_rows + m.more, quarantined_rows = f.quarantined_rows - m.more "
        "FROM (SELECT unnest(?::INTEGER[]) AS file_id, unnest(?::BIGINT[]) AS more) m WHERE f.file_id = m.file_id",
        [[file_id for file_id, _ in moved], [more for _, more in moved]],
    )


def _in_bronze(run: Run, source: Source, keys: Sequence[Key]) -> dict[int, int]:
    """file_id -> how many of some lines stand in bronze."""
    found = run.database.rows(
        f"SELECT _file_id, count(*) FROM {table_name(source.table)} t JOIN (SELECT unnest(?::INTEGER[]) AS file_id, "
        "unnest(?::BIGINT[]) AS line) k ON t._file_id = k.file_id AND t._line = k.line GROUP BY 1",
        [[file_id for file_id, _ in keys], [line for _, line in keys]],
    )
    return {int(file_id): int(many) for file_id, many in found}
