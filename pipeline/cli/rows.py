"""Commands about rows that were set aside."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.base import Json, app, done

quarantine_app = typer.Typer(
    no_args_is_help=True, help="Rows that were set aside.\n\nExample: goldfeed quarantine list"
)
app.add_typer(quarantine_app, name="quarantine")


@quarantine_app.command("list")
def quarantine_list(
    source: Annotated[str | None, typer.Option(help="Only of this source or table.")] = None,
    limit: Annotated[int | None, typer.Option(help="Rows to show (default: 50; all with --json).")] = None,
    json_out: Json = False,
) -> None:
    """List the rows that were set aside, with file, line and reason.

    Example: goldfeed quarantine list --source orders
    """
    done("quarantine list", source=source, limit=limit, json_out=json_out)


@quarantine_app.command("show")
def quarantine_show(
    number: Annotated[int, typer.Argument(help="The id that `list` shows.")], json_out: Json = False
) -> None:
    """Show one row that was set aside, with its raw text.

    Example: goldfeed quarantine show 1
    """
    done("quarantine show", number=number, json_out=json_out)
