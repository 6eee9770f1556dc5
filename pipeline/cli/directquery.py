"""Commands for reports that ask PostgreSQL at each look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import pace
from pipeline.cli.base import Json, app, project_of_command

directquery_app = typer.Typer(
    no_args_is_help=True, help="Gold in PostgreSQL.\n\nExample: goldfeed directquery load --watch 2"
)
app.add_typer(directquery_app, name="directquery")


@directquery_app.command("load")
def directquery_load(
    watch: Annotated[float | None, typer.Option(help="Look again every so many seconds, until stopped.")] = None,
    heartbeat: Annotated[
        Path | None, typer.Option(help="With --watch: a file that is there, and new, while PostgreSQL is up to date.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Load the published version into PostgreSQL (setting postgres_url), beside the one that readers see, and swap it in.

    Example: goldfeed directquery load
    """
    from pipeline.commands import directquery

    if watch is None:
        directquery.load_once(project_of_command(), json_out=json_out)
    else:
        pace.of_what_goes_on()
        directquery.watch(project_of_command(), watch, heartbeat)
