"""Commands that do work: demo, run, serve, retry, plan, backfill."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import pace
from pipeline.cli.base import Json, Select, app, done, project_of_command
from pipeline.errors import UsageError


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
    if watch is not None:
        from pipeline.commands import runs

        runs.watch(project_of_command(), runs.order(select, full_refresh, from_archive), watch, quiet=quiet)
        return
    done("run", select=select, full_refresh=full_refresh, from_archive=from_archive, quiet=quiet, json_out=json_out)


@app.command()
def serve() -> None:
    """Run the flows of goldfeed.yml when they are due and when files arrive, until stopped.

    Example: goldfeed serve
    """
    from pipeline.serve import serve as serve_flows

    pace.of_what_goes_on()
    serve_flows(project_of_command)


@app.command()
def retry(
    number: Annotated[int, typer.Argument(help="The run that failed; `goldfeed history` lists them.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json_out: Json = False,
) -> None:
    """Do again what failed in a run, and what was skipped for it.

    Example: goldfeed retry 12
    """
    done("retry", number=number, quiet=quiet, json_out=json_out)


@app.command()
def plan(
    select: Select = None, full_refresh: Annotated[bool, typer.Option("--full-refresh")] = False, json_out: Json = False
) -> None:
    """Show what `goldfeed run` would do, and why; change nothing.

    Example: goldfeed plan --select gold.fact_orders+
    """
    done("plan", select=select, full_refresh=full_refresh, json_out=json_out)


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
    done("backfill", first=first, last=last, select=select, wait=wait, quiet=quiet, json_out=json_out)


@app.command()
def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False, json_out: Json = False
) -> None:
    """Let go what is old and no longer needed, as retention: in goldfeed.yml says; the service does it each night.

    Example: goldfeed retain --dry-run
    """
    done("retain", dry_run=dry_run, json_out=json_out)
