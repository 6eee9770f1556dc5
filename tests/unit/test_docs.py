"""The docs say what the code does: every command, setting and key is in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from pipeline.cli import app
from pipeline.errors import GoldfeedError
from pipeline.reference import TABLES

ROOT = Path(__file__).resolve().parents[2]
PAGES = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def _commands() -> list[str]:
    top = typer.main.get_command(app)
    names: list[str] = []
    for name, command in top.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        names += [f"{name} {part}" for part in below] if below else [name]
    return names


@pytest.mark.parametrize("place", TABLES)
def test_every_setting_and_key_is_in_the_docs_as_the_code_has_it(place: str) -> None:
    page = (ROOT / place.partition("#")[0]).read_text(encoding="utf-8")
    assert TABLES[place]() in page, f"{place} is behind the code: python -m pipeline.reference prints the table"


@pytest.mark.parametrize("name", _commands())
def test_every_command_is_in_the_docs(name: str) -> None:
    assert f"goldfeed {name}" in PAGES


@pytest.mark.parametrize("name", _commands())
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = typer.main.get_command(app)
    for part in name.split():
        command = command.commands[part]  # type: ignore[attr-defined]
    assert "Example: goldfeed " in (command.help or "")


def test_every_option_is_in_the_docs() -> None:
    top = typer.main.get_command(app)
    waiting, options = [top], set[str]()
    while waiting:
        command = waiting.pop()
        waiting += list(getattr(command, "commands", {}).values())
        options |= {option for one in command.params for option in one.opts if option.startswith("--")}
    assert {option for option in options if option not in PAGES} == set()


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_clause_of_odata_names_a_test_that_there_is_and_no_test_of_one_is_missing() -> None:
    page = (ROOT / "docs/odata.md").read_text(encoding="utf-8").partition("## Conformance")[2]
    clauses = re.findall(r"^\| ((?:Minimal|Intermediate) [\d.]+) \|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    there = {
        f"{path.relative_to(ROOT)}": set(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
        for folder in ("feed", "readers") for path in (ROOT / "tests" / folder).glob("test_*.py")
    }  # fmt: skip
    own, named = there["tests/feed/test_odata_conformance.py"], set[str]()
    for clause, cell in clauses:
        tests, files = re.findall(r"`(test_\w+)`", cell), re.findall(r"`(tests/[\w/]+\.py)`", cell)
        assert tests or files or cell.strip() in ("there are none", "the above"), clause
        assert set(files) <= set(there), clause
        assert set(tests) <= own.union(*(there[file] for file in files)), clause
        named |= set(tests)
    assert own <= named
    assert len(clauses) == 35


def test_there_are_at_most_a_dozen_kinds_of_error_in_one_tree() -> None:
    kinds, waiting = set(), [GoldfeedError]
    while waiting:
        kind = waiting.pop()
        kinds.add(kind)
        waiting += kind.__subclasses__()
    assert len(kinds) <= 12


def test_no_module_is_longer_than_three_hundred_and_fifty_lines() -> None:
    long = [str(path) for path in (ROOT / "pipeline").rglob("*.py") if len(path.read_text().splitlines()) > 350]
    assert long == []
