"""Commands about rows that were set aside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.base import Json, app, done

quarantine_app = typer.Typer(
    no_args_is_help=True, help="Rows that were set aside.\n\nExample: goldfeed quarantine list"
)
app.add_typer(quarantine_app, name="quarantine")
Source = Annotated[str | None, typer.Option(help="Only of this source or table.")]
Reason = Annotated[str | None, typer.Option(help="Only rows whose reason holds this text.")]


@quarantine_app.command("list")
def quarantine_list(
    source: Source = None,
    limit: Annotated[int | None, typer.Option(help="Rows to show (default: 50; all with --json).")] = None,
    dropped: Annotated[bool, typer.Option("--dropped", help="Those that were dropped, with the reason.")] = False,
    json_out: Json = False,
) -> None:
    """List the rows that were set aside, with file, line and reason.

    Example: goldfeed quarantine list --source orders
    """
    done("quarantine list", source=source, limit=limit, dropped=dropped, json_out=json_out)


@quarantine_app.command("show")
def quarantine_show(
    number: Annotated[int, typer.Argument(help="The id that `list` shows.")], json_out: Json = False
) -> None:
    """Show one row that was set aside: its raw text, and the lines before and after it in its file.

    Example: goldfeed quarantine show 1
    """
    done("quarantine show", number=number, json_out=json_out)


@quarantine_app.command("replay")
def quarantine_replay(source: Source = None, reason: Reason = None, json_out: Json = False) -> None:
    """Run rows again after their source or rule was mended; each comes in once.

    Example: goldfeed quarantine replay --source orders --reason "not a timestamp"
    """
    done("quarantine replay", source=source, reason=reason, json_out=json_out)


@quarantine_app.command("export")
def quarantine_export(source: Source = None) -> None:
    """Print the rows as CSV, to be edited in the column `raw` and taken back by `fix`.

    Example: goldfeed quarantine export --source orders > rows.csv
    """
    done("quarantine export", source=source)


@quarantine_app.command("fix")
def quarantine_fix(
    file: Annotated[Path, typer.Argument(help="An export whose column `raw` was edited.", exists=True, dir_okay=False)],
    json_out: Json = False,
) -> None:
    """Take an edited export back: each changed line stands for the old one, now and in every rebuild.

    Example: goldfeed quarantine fix rows.csv
    """
    done("quarantine fix", file=str(file.absolute()), json_out=json_out)


@quarantine_app.command("drop")
def quarantine_drop(
    why: Annotated[str, typer.Option(help="Why they are not wanted; it is kept with them.")],
    ids: Annotated[list[int] | None, typer.Argument(help="The ids that `list` shows.")] = None,
    source: Source = None,
    reason: Reason = None,
    json_out: Json = False,
) -> None:
    """Give rows up: they are not shown and not run again, but stay counted and on record.

    Example: goldfeed quarantine drop 12 13 --why "orders of a test"
    """
    done("quarantine drop", ids=ids or [], source=source, reason=reason, why=why, json_out=json_out)
