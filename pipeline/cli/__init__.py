"""The command `goldfeed`: parse, call one function, print."""

from __future__ import annotations

import errno
import os
import sys
import threading

import typer

from pipeline.cli import catalog, directquery, looks, pace, people, powerbi, proofs, quality, rows, runs, ways, word
from pipeline.cli.base import app, chosen
from pipeline.errors import GoldfeedError

__all__ = [
    "app",
    "catalog",
    "directquery",
    "looks",
    "main",
    "pace",
    "people",
    "powerbi",
    "program",
    "proofs",
    "quality",
    "rows",
    "runs",
    "ways",
    "word",
]


def program() -> None:
    """The process `goldfeed`: run the command and end."""
    pace.of_a_command()
    try:
        main()
    except SystemExit as ended:
        _leave_at_once(ended.code or 0)
        raise


def _leave_at_once(code: str | int) -> None:
    """End the process without taking it apart, as mypy does: to free the objects of a run takes 0.1 s, a fifth of one that
    finds nothing new. Returns where it must be done in order: somebody still works, or what is left to say cannot be said.
    """
    at_work = [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    if at_work or not isinstance(code, int):
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    os._exit(code)


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
