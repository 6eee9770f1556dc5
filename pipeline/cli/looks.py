"""Commands that look: status, history, rollback, diff, doctor, query."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.base import Json, app, done, settings_of_command


@app.command()
def status(json_out: Json = False) -> None:
    """Show what is published, what waits in landing/ and how the last run went.

    Example: goldfeed status
    """
    done("status", json_out=json_out)


@app.command()
def history(limit: Annotated[int, typer.Option(help="Rows to show.")] = 20, json_out: Json = False) -> None:
    """List the runs and the published versions, newest first.

    Example: goldfeed history --limit 5
    """
    done("history", limit=limit, json_out=json_out)


@app.command()
def rollback(
    version: Annotated[str | None, typer.Argument(help="The version to go back to (default: the one before).")] = None,
    json_out: Json = False,
) -> None:
    """Make an older published version the current one.

    Example: goldfeed rollback 000003
    """
    done("rollback", version=version, json_out=json_out)


@app.command()
def diff(
    one: Annotated[str | None, typer.Argument(help="The older version (default: the one before).")] = None,
    other: Annotated[str | None, typer.Argument(help="The newer one (default: the current).")] = None,
    json_out: Json = False,
) -> None:
    """Show what differs between two published versions: keys, and the sums of the measures.

    Example: goldfeed diff 000003 000004
    """
    from pipeline.commands import care

    care.diff(settings_of_command(), one, other, json_out=json_out)


@app.command()
def doctor(
    compact: Annotated[
        bool, typer.Option("--compact", help="Write the warehouse file anew, without free blocks.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Look whether the warehouse and the published versions are well.

    Example: goldfeed doctor --compact
    """
    done("doctor", compacted=compact, json_out=json_out)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; gold tables by their bare names.")],
    warehouse: Annotated[
        bool, typer.Option("--warehouse", help="Ask bronze, silver, gold and ledger instead.")
    ] = False,
    version: Annotated[str | None, typer.Option(help="A published version other than the current.")] = None,
    json_out: Json = False,
) -> None:
    """Ask the published tables, read-only.

    Example: goldfeed query "SELECT order_date, revenue FROM mart_daily_kpis ORDER BY 1 LIMIT 5"
    """
    if warehouse:
        done("query", sql=sql, warehouse=True, version=version, json_out=json_out)
        return
    from pipeline.commands import looks

    looks.query(settings_of_command(), sql, warehouse=False, version=version, json_out=json_out)
