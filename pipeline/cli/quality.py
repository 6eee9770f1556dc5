"""Commands about quality: checks, publish."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.base import Json, app, done
from pipeline.errors import UsageError


@app.command()
def checks(
    table: Annotated[str | None, typer.Argument(help="One table, e.g. gold.fact_orders (default: all).")] = None,
    number: Annotated[int | None, typer.Option("--run", help="The checks of one run (default: the latest).")] = None,
    json_out: Json = False,
) -> None:
    """List what the contracts found: the latest result of every check, or those of one run.

    Example: goldfeed checks gold.fact_orders
    """
    done("checks", table=table, number=number, json_out=json_out)


@app.command()
def publish(
    accepted: Annotated[
        str | None, typer.Option("--accept", help="Overrule this failure once, e.g. gold.fact_orders.row_count.")
    ] = None,
    why: Annotated[str | None, typer.Option("--why", help="Why it is overruled; kept in the ledger.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json_out: Json = False,
) -> None:
    """Publish gold as it is built, without new files; with --accept, in spite of one failed check.

    Example: goldfeed publish --accept gold.fact_orders.row_count --why "the shop was closed"
    """
    if (accepted is None) != (why is None or not why.strip()):
        raise UsageError("--accept and --why go together", where="publish", do="say which check, and why")
    done("publish", accepted=accepted, why=why, quiet=quiet, json_out=json_out)
