"""The command `goldfeed`: parse, call one function, print."""

from __future__ import annotations

import errno
import sys

import typer

from pipeline.cli import catalog, directquery, looks, people, powerbi, proofs, quality, rows, runs, ways, word
from pipeline.cli.base import app, chosen
from pipeline.errors import GoldfeedError

__all__ = [
    "app",
    "catalog",
    "directquery",
    "looks",
    "main",
    "people",
    "powerbi",
    "proofs",
    "quality",
    "rows",
    "runs",
    "ways",
    "word",
]


def main() -> None:
    """Run the command; a GoldfeedError becomes one sentence and an exit code, never a traceback."""
    try:
        app()
    except GoldfeedError as error:
        if chosen["debug"]:
            raise
        typer.echo(f"error: {error.sentence()}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("stopped; the next run goes on from here.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        if chosen["debug"]:
            raise
        do = "free some space, then run again" if error.errno == errno.ENOSPC else "check permissions and space"
        typer.echo(f"error: {error.filename or 'the disk'}: {error.strerror}; {do}.", err=True)
        sys.exit(1)
    except Exception as error:
        if chosen["debug"]:
            raise
        typer.echo(
            f"error: unexpected {type(error).__name__}; run again with `goldfeed --debug ...` and report it.", err=True
        )
        sys.exit(1)
