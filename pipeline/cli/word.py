"""Commands about word to people."""

from __future__ import annotations

import typer

from pipeline.cli.base import app, project_of_command

notify_app = typer.Typer(no_args_is_help=True, help="Word to people.")
app.add_typer(notify_app, name="notify")


@notify_app.command("test")
def notify_test() -> None:
    """Send a test message to every channel of goldfeed.yml.

    Example: goldfeed notify test
    """
    from pipeline.serve import notify_test as send_test

    if not send_test(project_of_command()):
        raise typer.Exit(1)
