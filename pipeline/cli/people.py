"""Commands about the people and programs that read: user add, list, remove, token."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.base import Json, app, project_file_of_command

user_app = typer.Typer(no_args_is_help=True, help="Who may read, and with which role.")
app.add_typer(user_app, name="user")

Name = Annotated[str, typer.Argument(help="The user's name.")]


@user_app.command("add")
def add(
    name: Name,
    role: Annotated[str, typer.Option("--role", help="admin, reader, or a role of goldfeed.yml.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Take the password from standard input, one line.")
    ] = False,
) -> None:
    """Add a user, or give one another role and password. Without --password-stdin a password is made and shown once.

    Example: goldfeed user add anna --role reader --password-stdin < password.txt
    """
    from pipeline.commands import people

    people.add(*project_file_of_command(), name, role, from_stdin=password_stdin)


@user_app.command("list")
def list_users(json_out: Json = False) -> None:
    """List the users with their roles, and the tokens that are in force.

    Example: goldfeed user list
    """
    from pipeline.commands import people

    people.list_users(project_file_of_command()[1], json_out=json_out)


@user_app.command("remove")
def remove(name: Name) -> None:
    """Remove a user and all their tokens, at once.

    Example: goldfeed user remove anna
    """
    from pipeline.commands import people

    people.remove(project_file_of_command()[1], name)


@user_app.command("token")
def token(
    name: Name,
    days: Annotated[float, typer.Option("--days", help="How long it is good for.")] = 90,
    revoke: Annotated[str | None, typer.Option("--revoke", help="The id of a token to make worthless instead.")] = None,
) -> None:
    """Make a bearer token for a user, shown once; or revoke one.

    Example: goldfeed user token anna --days 30
    """
    from pipeline.commands import people

    people.token(project_file_of_command()[1], name, days, revoke)
