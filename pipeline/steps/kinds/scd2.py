"""scd2: every version of a key with the time it was valid (Kimball's type 2 slowly changing dimension)."""

from __future__ import annotations

from dataclasses import replace

from pipeline.project.model import Model
from pipeline.project.narrow import new_rows, output_columns
from pipeline.sql import columns_list, quoted, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.common import (
    OPEN_END,
    Built,
    broken_rule,
    check_balance,
    count,
    newest_first,
    rank_files,
    reasons,
)
from pipeline.steps.kinds.whole import store
from pipeline.warehouse.ledger import TableState
from pipeline.warehouse.quarantine import set_aside_lines


def build_scd2(run: Run, model: Model, state: TableState) -> Built:
    """Rebuild the versions of every key from its history.

    Of rows with the same key and start the newest delivery stands; rows that
    change nothing but the time are joined to the version before them.
    """
    database = run.database
    rank_files(database)
    database.run("DELETE FROM ledger.quarantine WHERE source = ?", [model.name])
    rows_in = count(database, table_name(model.inputs[0]))
    aside = _set_aside(run, model)
    database.run(f"CREATE OR REPLACE TEMP TABLE versions AS {_versions(model)}", [0])
    kept = count(database, "temp.versions")
    store(run, model, "temp.versions")
    database.run("DROP TABLE temp.versions")
    superseded = rows_in - aside - kept
    state = replace(state, rows_in=rows_in, kept=kept, superseded=superseded, quarantined=aside)
    check_balance(state, rows_in)
    return Built(state, rows_in, kept, aside, superseded, True)


def _set_aside(run: Run, model: Model) -> int:
    run.database.run(
        f"CREATE OR REPLACE TEMP TABLE aside AS SELECT _file_id, _line, {reasons(model, '_broken')} AS reason, "
        f"'' AS column_name FROM (SELECT *, {broken_rule(model, keys=True)} AS _broken FROM ({new_rows(model)})) "
        "WHERE _broken IS NOT NULL",
        [0],
    )
    graph, settings = run.project.graph, run.project.settings
    return set_aside_lines(run.database, model.name, "temp.aside", graph.sources, settings, run.run_id, run.now)


def _versions(model: Model) -> str:
    header = model.header
    names = output_columns(model)
    start = quoted(header.valid_from or "")
    key = columns_list(header.key)
    facts = [name for name in names if name not in header.key and name != header.valid_from]
    fact_row = f"row({columns_list(facts)})" if facts else "true"
    shown = ", ".join(
        f"CAST({start} AS TIMESTAMP) AS valid_from" if name == header.valid_from else quoted(name) for name in names
    )
    return (
        f"WITH good AS (SELECT * FROM ({new_rows(model)}) WHERE {broken_rule(model, keys=True)} IS NULL "
        f"QUALIFY row_number() OVER (PARTITION BY {key}, {start} ORDER BY {newest_first([])}) = 1), "
        f"steps AS (SELECT *, lag({fact_row}) OVER (PARTITION BY {key} ORDER BY {start}) AS _before, "
        f"row_number() OVER (PARTITION BY {key} ORDER BY {start}) AS _number FROM good), "
        f"kept AS (SELECT * FROM steps WHERE _number = 1 OR _before IS DISTINCT FROM {fact_row}) "
        f"SELECT {shown}, coalesce(lead(CAST({start} AS TIMESTAMP)) OVER (PARTITION BY {key} ORDER BY {start}), {OPEN_END}) "
        f"AS valid_to, lead({start}) OVER (PARTITION BY {key} ORDER BY {start}) IS NULL AS is_current FROM kept"
    )
