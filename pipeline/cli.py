"""The command `goldfeed`: parse, call one function, print."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import GoldfeedError, UsageError

if TYPE_CHECKING:
    from pipeline.project.project import Project
    from pipeline.settings import Settings

app = typer.Typer(
    name="goldfeed",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="CSV drops in, trusted Gold tables out.\n\nExample: goldfeed demo data/landing && goldfeed run",
)
notify_app = typer.Typer(no_args_is_help=True, help="Word to people.")
quarantine_app = typer.Typer(
    no_args_is_help=True, help="Rows that were set aside.\n\nExample: goldfeed quarantine list"
)
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(notify_app, name="notify")
_chosen: dict[str, Any] = {"project": Path(), "home": None, "debug": False}

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select", help="Tables, e.g. gold.fact_orders+ (+ before or behind: what it is made of, what is made of it)."
    ),
]


@app.callback()
def _main(
    project: Annotated[Path, typer.Option(help="Folder with goldfeed.yml and sql/.")] = Path(),
    home: Annotated[
        Path | None, typer.Option(help="Home folder (default: GOLDFEED_HOME, else data/ in the project).")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    _chosen.update(project=project.absolute(), home=home, debug=debug)


def _project() -> Project:
    from pipeline.project.project import load_project

    return load_project(_chosen["project"], home=_chosen["home"], environ=os.environ)


def _settings() -> Settings:
    from pipeline.project.project import load_file

    return load_file(_chosen["project"], home=_chosen["home"], environ=os.environ)[1]


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to drop the files, e.g. data/landing.")],
    orders: Annotated[int, typer.Option(help="Orders in all.")] = 20_000,
    days: Annotated[int, typer.Option(help="Days, one drop each.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 7,
    dirty: Annotated[float, typer.Option(help="Share of dirty rows, 0 to 0.5.")] = 0.01,
    json_out: Json = False,
) -> None:
    """Write the daily CSV drops of a made-up shop, and truth.json with the totals gold must show.

    Example: goldfeed demo data/landing --orders 20000 --days 30 --seed 7 --dirty 0.01
    """
    from dataclasses import asdict

    from pipeline.demo import write_shop
    from pipeline.show import print_json

    try:
        summary = write_shop(folder, orders=orders, days=days, seed=seed, dirty=dirty)
    except ValueError as error:
        raise UsageError(str(error).rstrip("."), where="demo") from error
    except OSError as error:
        raise UsageError(
            f"the folder cannot be written: {error.strerror}", where=str(folder), do="choose another"
        ) from error
    if json_out:
        print_json({name: str(value) if isinstance(value, Path) else value for name, value in asdict(summary).items()})
        return
    typer.echo(f"{summary.files:,} files with {summary.rows:,} rows are in {folder}; truth.json holds their totals.")


@app.command()
def run(
    select: Select = None,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="Rebuild silver and gold from bronze.")] = False,
    from_archive: Annotated[
        bool, typer.Option("--from-archive", help="Take in the files of archive/ that the warehouse lacks.")
    ] = False,
    watch: Annotated[float | None, typer.Option(help="Look again every so many seconds, until stopped.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json_out: Json = False,
) -> None:
    """Take in what lies in landing/, build what it changes, publish gold.

    Example: goldfeed run
    """
    from pipeline import commands

    order = commands.order(select, full_refresh, from_archive)
    if watch is not None:
        commands.watch(_project(), order, watch, quiet=quiet)
        return
    if not commands.run(_project(), order, quiet=quiet, json_out=json_out):
        raise typer.Exit(1)


@app.command()
def serve() -> None:
    """Run the flows of goldfeed.yml when they are due and when files arrive, until stopped.

    Example: goldfeed serve
    """
    from pipeline.serve import serve as serve_flows

    serve_flows(_project)


@app.command()
def retry(
    number: Annotated[int, typer.Argument(help="The run that failed; `goldfeed history` lists them.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json_out: Json = False,
) -> None:
    """Do again what failed in a run, and what was skipped for it.

    Example: goldfeed retry 12
    """
    from pipeline.serve import retry as retry_run

    if not retry_run(_project(), number, quiet=quiet, json_out=json_out):
        raise typer.Exit(1)


@app.command()
def plan(
    select: Select = None, full_refresh: Annotated[bool, typer.Option("--full-refresh")] = False, json_out: Json = False
) -> None:
    """Show what `goldfeed run` would do, and why; change nothing.

    Example: goldfeed plan --select gold.fact_orders+
    """
    from pipeline import commands

    commands.plan(_project(), commands.order(select, full_refresh, False), json_out=json_out)


@app.command()
def status(json_out: Json = False) -> None:
    """Show what is published, what waits in landing/ and how the last run went.

    Example: goldfeed status
    """
    from pipeline import commands

    commands.status(_project(), json_out=json_out)


@app.command()
def history(limit: Annotated[int, typer.Option(help="Rows to show.")] = 20, json_out: Json = False) -> None:
    """List the runs and the published versions, newest first.

    Example: goldfeed history --limit 5
    """
    from pipeline import commands

    commands.history(_project(), limit, json_out=json_out)


@app.command()
def rollback(
    version: Annotated[str | None, typer.Argument(help="The version to go back to (default: the one before).")] = None,
    json_out: Json = False,
) -> None:
    """Make an older published version the current one.

    Example: goldfeed rollback 000003
    """
    from pipeline import commands

    commands.rollback(_project(), version, json_out=json_out)


@app.command()
def backfill(
    first: Annotated[str, typer.Option("--from", help="The first day, e.g. 2024-01-01.")],
    last: Annotated[str, typer.Option("--to", help="The last day.")],
    select: Select = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for a run that is under way.")] = 600,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json_out: Json = False,
) -> None:
    """Read the files of some days again from archive/, and rebuild what they change.

    Example: goldfeed backfill --from 2024-01-01 --to 2024-01-31
    """
    from pipeline import care

    days = care.period(first, last)
    if not care.backfill(_project(), days, select, wait, quiet=quiet, json_out=json_out):
        raise typer.Exit(1)


@app.command()
def diff(
    one: Annotated[str | None, typer.Argument(help="The older version (default: the one before).")] = None,
    other: Annotated[str | None, typer.Argument(help="The newer one (default: the current).")] = None,
    json_out: Json = False,
) -> None:
    """Show what differs between two published versions: keys, and the sums of the measures.

    Example: goldfeed diff 000003 000004
    """
    from pipeline import care

    care.diff(_settings(), one, other, json_out=json_out)


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
    from pipeline import care

    if not care.doctor(_settings(), compacted=compact, json_out=json_out):
        raise typer.Exit(1)


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
    from pipeline import commands

    commands.query(_settings(), sql, warehouse=warehouse, version=version, json_out=json_out)


@quarantine_app.command("list")
def quarantine_list(
    source: Annotated[str | None, typer.Option(help="Only of this source or table.")] = None,
    limit: Annotated[int | None, typer.Option(help="Rows to show (default: 50; all with --json).")] = None,
    json_out: Json = False,
) -> None:
    """List the rows that were set aside, with file, line and reason.

    Example: goldfeed quarantine list --source orders
    """
    from pipeline import commands

    commands.quarantine_list(_project(), source, limit, json_out=json_out)


@quarantine_app.command("show")
def quarantine_show(
    number: Annotated[int, typer.Argument(help="The id that `list` shows.")], json_out: Json = False
) -> None:
    """Show one row that was set aside, with its raw text.

    Example: goldfeed quarantine show 1
    """
    from pipeline import commands

    commands.quarantine_show(_project(), number, json_out=json_out)


@notify_app.command("test")
def notify_test() -> None:
    """Send a test message to every channel of goldfeed.yml.

    Example: goldfeed notify test
    """
    from pipeline.serve import notify_test as send_test

    if not send_test(_project()):
        raise typer.Exit(1)


def main() -> None:
    """Run the command; a GoldfeedError becomes one sentence and an exit code, never a traceback."""
    try:
        app()
    except GoldfeedError as error:
        if _chosen["debug"]:
            raise
        typer.echo(f"error: {error.sentence()}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("stopped; the next run goes on from here.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        if _chosen["debug"]:
            raise
        typer.echo(f"error: {error.filename or 'the system'}: {error.strerror}; check permissions and space.", err=True)
        sys.exit(1)
    except Exception as error:
        if _chosen["debug"]:
            raise
        typer.echo(
            f"error: unexpected {type(error).__name__}; run again with `goldfeed --debug ...` and report it.", err=True
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
