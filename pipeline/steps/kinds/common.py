"""What the kinds share: rules as SQL, file ranks, surrogate keys, balance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.errors import AccountingError
from pipeline.project.model import Model
from pipeline.project.project import Project
from pipeline.sql import PLACE, columns_list, literal, quoted, table_name
from pipeline.steps.context import Run
from pipeline.warehouse.changes import net_of, of_sign
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import TableState

OPEN_END = "TIMESTAMP '9999-12-31 00:00:00'"


REMOVED, ADDED = "temp.removed", "temp.added"


@dataclass(frozen=True)
class Built:
    """What building one table did. `changed`: its rows are not those of before.

    `known`: the rows that went are in temp.removed, those that came in temp.added.
    `batches`: rows were only added, those after the first batch up to the second.
    """

    state: TableState
    rows_in: int
    rows_out: int
    quarantined: int
    superseded: int
    changed: bool
    known: bool = False
    batches: tuple[int, int] | None = None
    note: str = ""


def broken_rule(model: Model, *, keys: bool, deletes: bool = False) -> str:
    """An expression: the number of the first rule a row breaks, or NULL. Rule 0 is a blank key.

    With `deletes`, a row that takes its key away needs the key and nothing else.
    """
    checks = []
    if keys and model.header.key:
        blank = " OR ".join(
            f"{quoted(name)} IS NULL" for name in (*model.header.key, *filter(None, [model.header.valid_from]))
        )
        checks.append(f"WHEN {blank} THEN 0")
    if deletes:
        checks.append("WHEN _deleted THEN NULL")
    for number, rule in enumerate(model.said.rules, 1):
        checks.append(f"WHEN NOT coalesce(({rule}), false) THEN {number}")
    return f"CASE {' '.join(checks)} END" if checks else "CAST(NULL AS INTEGER)"


def reasons(model: Model, number: str) -> str:
    """An expression: the words for the number of a broken rule."""
    parts = [f"WHEN 0 THEN {literal('a key column is blank')}"]
    parts += [f"WHEN {place} THEN {literal('rule ' + name)}" for place, name in enumerate(model.header.rules, 1)]
    return f"CASE {number} {' '.join(parts)} END"


def rank_files(database: Database) -> None:
    """Set the variable `file_rank`: place of each file by its path, then by when it came under that path.

    Which file wins a tie then depends on the files' names, not on the order of their arrival.
    """
    database.run(
        "SET VARIABLE file_rank = (SELECT list(place ORDER BY file_id) FROM (SELECT ids.file_id, coalesce(r.place, 0) AS place "
        "FROM (SELECT unnest(range(1, (SELECT coalesce(max(file_id), 0) + 1 FROM ledger.files))) AS file_id) ids "
        "LEFT JOIN (SELECT file_id, row_number() OVER (ORDER BY path, file_id) AS place FROM ledger.files) r USING (file_id)))"
    )


def file_rank(row: str = "") -> str:
    """The rank of a row's file; `row` is an alias with its dot."""
    return f"getvariable('file_rank')[{row}_file_id]"


def newest_first(columns: list[str]) -> str:
    """ORDER BY terms: the winning version first; ties by file, then line."""
    terms = [f"{quoted(name)} DESC NULLS LAST" for name in columns]
    return ", ".join([*terms, f"{file_rank()} DESC", "_line DESC"])


def winning(project: Project, model: Model) -> list[str]:
    """The columns that decide which version of a key wins: the model's, else its source's."""
    if model.header.latest_by:
        return model.header.latest_by
    for name in project.graph.sources_of(model.name):
        return project.graph.sources[name].latest_by
    return []


def check_balance(state: TableState, input_rows: int) -> None:
    """Promise 2 for a table: rows in = kept + superseded + quarantined. Raises AccountingError."""
    if state.rows_in != state.kept + state.superseded + state.quarantined or state.rows_in != input_rows:
        raise AccountingError(
            f"{input_rows} rows came in, {state.rows_in} were taken, but {state.kept} were kept, {state.superseded} "
            f"superseded and {state.quarantined} quarantined",
            where=state.name,
            do="nothing was written; run with --full-refresh and report this",
        )


def count(database: Database, relation: str) -> int:
    """Rows of a table or subquery."""
    return int(database.value(f"SELECT count(*) FROM {relation}"))


def registry(model: Model) -> str:
    """The table that remembers which surrogate key a business key was given."""
    return f"ledger.{quoted('keys_' + model.name.partition('.')[2])}"


def identity(model: Model) -> list[str]:
    """What a surrogate key stands for: the business key, for scd2 with the start of the version."""
    return [*model.header.key, *(["valid_from"] if model.header.kind == "scd2" else [])]


def give_keys(run: Run, model: Model, built: str, *, few: bool = False) -> None:
    """Give a number to each identity in the table `built` that has none yet, oldest version first.

    Numbers are kept for good; a lost warehouse takes them over from the last published version.
    `few`: `built` has few rows, and most of the registry need not be read.
    """
    database, names = run.database, identity(model)
    table = registry(model)
    if not database.has("ledger", "keys_" + model.name.partition(".")[2]):
        database.run(
            f"CREATE TABLE {table} AS SELECT {columns_list(names)}, CAST(0 AS INTEGER) AS given FROM {built} WHERE false"
        )
        _recover_keys(run, model, table, names)
    order = columns_list(["valid_from", *model.header.key] if model.header.kind == "scd2" else names)
    same = same_identity(model, "b", "k")
    held = f"(SELECT k.* FROM {table} k SEMI JOIN {built} b ON {same})" if few else table
    database.run(
        f"INSERT INTO {table} SELECT *, (SELECT coalesce(max(given), 0) FROM {table}) + row_number() OVER (ORDER BY {order}) "
        f"FROM (SELECT DISTINCT {columns_list(names)} FROM {built} b ANTI JOIN {held} k ON {same})"
    )


def _recover_keys(run: Run, model: Model, table: str, names: list[str]) -> None:
    name = model.name.partition(".")[2]
    found = sorted(run.project.settings.published.glob(f"[0-9]*/{name}.parquet"))
    key = model.header.surrogate_key
    if not found or key is None:
        return
    last = found[-1] / "*.parquet" if found[-1].is_dir() else found[-1]
    have = run.database.columns_of(f"SELECT * FROM read_parquet({literal(str(last))})")
    if {key, *names} <= have.keys():
        run.database.run(
            f"INSERT INTO {table} SELECT {columns_list(names)}, {quoted(key)} FROM read_parquet(?) WHERE {quoted(key)} > 0",
            [str(last)],
        )


def with_keys(model: Model, built: str) -> str:
    """A SELECT of `built` with its surrogate keys in front."""
    return (
        f"SELECT k.given AS {quoted(model.header.surrogate_key or '')}, b.* FROM {built} b "
        f"JOIN {registry(model)} k ON {same_identity(model, 'b', 'k')}"
    )


def same_identity(model: Model, one: str, other: str) -> str:
    """A join condition: two rows stand for the same. Those of scd2 are never NULL, which lets the engine skip what is out of their range."""
    names = identity(model)
    if model.header.kind == "scd2":
        return same_key(names, one, other)
    return " AND ".join(f"{one}.{quoted(name)} IS NOT DISTINCT FROM {other}.{quoted(name)}" for name in names)


def unknown_member(run: Run, model: Model, built_columns: dict[str, str]) -> str:
    """A SELECT of the row -1, in the order of the built table's columns, after the surrogate key."""
    values = []
    for name, kind in built_columns.items():
        if name == "valid_from":
            value = "TIMESTAMP '0001-01-01 00:00:00'"
        elif name == "valid_to":
            value = OPEN_END
        elif name == "is_current":
            value = "true"
        elif kind == "VARCHAR" and name not in model.header.key:
            value = "'Unknown'"
        else:
            value = "NULL"
        values.append(f"CAST({value} AS {kind}) AS {quoted(name)}")
    return f"SELECT CAST(-1 AS INTEGER), {', '.join(values)}"


def target(model: Model) -> str:
    """The quoted name of the model's table."""
    return table_name(model.name)


def same_key(names: Iterable[str], one: str, other: str) -> str:
    """A join condition: two rows have the same key."""
    return " AND ".join(f"{one}.{quoted(name)} = {other}.{quoted(name)}" for name in names)


def held_rows(model: Model, only: str) -> str:
    """A SELECT of the table's rows n that the join `only` leaves, with their place in it."""
    place = f", n.rowid AS {PLACE}" if has_places(model) else ""
    return f"SELECT n.*{place} FROM {target(model)} n {only}"


def has_places(model: Model) -> bool:
    """Whether `rowid` is the place of a row: not where a column is called so, and with * nobody knows."""
    return not {"*", "rowid"} & {name.casefold() for name in model.outputs}


def replace_rows(run: Run, model: Model, key: list[str], stale: str, fresh: str) -> int:
    """Put the rows of `fresh` where those of `stale` are, if they differ. Returns the number of keys that do.

    Both hold every row of the keys they hold at all, `stale` as `held_rows` gives them. What went and what came is left in
    temp.removed and temp.added.
    """
    database, placed = run.database, has_places(model)
    net_rows(database, fresh, f"(SELECT * EXCLUDE ({PLACE}) FROM {stale})" if placed else stale)
    names = columns_list(key)
    differing = database.made(
        f"CREATE OR REPLACE TEMP TABLE differing AS SELECT {names} FROM {REMOVED} UNION SELECT {names} FROM {ADDED}"
    )
    if differing:
        same = same_key(key, "t", "d")
        goes, its = "temp.differing", same
        if placed:  # found once already, by keys that are texts: a look at them costs six times one at the places
            goes, its = f"(SELECT t.{PLACE} FROM {stale} t SEMI JOIN temp.differing d ON {same})", f"t.rowid = d.{PLACE}"
        database.run(f"DELETE FROM {target(model)} t USING {goes} d WHERE {its}")
        database.run(
            f"INSERT INTO {target(model)} SELECT t.* FROM {fresh} t SEMI JOIN temp.differing d ON {same}"
            f"{sorted_by_key(model)}"
        )
    return differing


def net_rows(database: Database, fresh: str, stale: str) -> int:
    """Leave the rows that `stale` alone has in temp.removed, those that `fresh` alone has in temp.added, each as often as that.

    Returns how many different rows there are.
    """
    many = database.made(f"CREATE OR REPLACE TEMP TABLE net AS {net_of(f'FROM {fresh}', f'FROM {stale}')}")
    for table, sign in ((REMOVED, "-"), (ADDED, "")):
        database.run(f"CREATE OR REPLACE TEMP TABLE {table} AS {of_sign('temp.net', sign)}")
    return many


def sorted_by_key(model: Model) -> str:
    """ORDER BY for storing a table in key order (MERGE and page by key are quicker so: DESIGN.md)."""
    return f" ORDER BY {columns_list(model.header.order)}" if model.header.key else ""
