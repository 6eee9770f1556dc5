"""What the commands share: the application, its options, and the project they work on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import pace

if TYPE_CHECKING:
    from pipeline.commands.calls import Place
    from pipeline.project.project import Project, ProjectFile
    from pipeline.settings import Settings

app = typer.Typer(
    name="goldfeed",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="CSV drops in, trusted Gold tables out.\n\nExample: goldfeed demo data/landing && goldfeed run",
)
chosen: dict[str, Any] = {"project": Path(), "home": None, "debug": False}

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
    chosen.update(project=project.absolute(), home=home, debug=debug)


def place_of_command() -> Place:
    """Where the command works."""
    from pipeline.commands.calls import Place

    return Place(chosen["project"], home_of_command(), os.environ)


def home_of_command() -> Path:
    """The home folder, as load_settings finds it."""
    given = chosen["home"] or os.environ.get("GOLDFEED_HOME")
    return (Path(given) if given else chosen["project"] / "data").absolute()


def done(command: str, **arguments: Any) -> None:
    """Have a command done: by the service that runs on this home, else here. Raises typer.Exit(1) when it did not go well."""
    from pipeline.commands.remote import ask

    code = ask(home_of_command(), chosen["project"], command, arguments)
    if code is None:
        from pipeline.commands.calls import call

        pace.of_work_done_here()
        code = 0 if call(command, place_of_command(), arguments) else 1
    if code:
        raise typer.Exit(code)


def project_of_command() -> Project:
    """The project in the folder that was named."""
    from pipeline.project.project import load_project

    return load_project(chosen["project"], home=chosen["home"], environ=os.environ)


def settings_of_command() -> Settings:
    """Its settings alone: enough where no table is needed."""
    return project_file_of_command()[1]


def project_file_of_command() -> tuple[ProjectFile, Settings]:
    """goldfeed.yml and the settings, without sql/."""
    from pipeline.project.project import load_file

    return load_file(chosen["project"], home=chosen["home"], environ=os.environ)
