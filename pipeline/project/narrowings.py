"""What the SQL of models shows of the keys that a change touches; remembered in the process, and kept for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.errors import NotNarrowable
from pipeline.project.kept import kept
from pipeline.project.model import Model

Columns = Mapping[str, Mapping[str, str]]  # full table name -> column -> type


@dataclass
class Narrowing:
    """What a model's SQL shows.

    `by`: the columns of the key that rows can be told apart by, mostly all. `touches`: for each input, the SELECTs that give the touched keys from its
    changed rows; `since`: statements that set the variables which these ask for. `blind`: inputs whose changes touch nobody knows what, each
    with the reason. `narrowed`: the model's SELECT for the keys in the table
    `touched`. `whole`: inputs that it reads from end to end all the same.
    `used`: the columns of each input that the SQL names; a change of others changes nothing.
    `never_null`: those of `by` that the SQL keeps from being NULL, so that a touched NULL is the key of no row.
    """

    by: list[str] = field(default_factory=list)
    never_null: list[str] = field(default_factory=list)
    touches: dict[str, list[str]] = field(default_factory=dict)
    since: dict[str, list[str]] = field(default_factory=dict)
    blind: dict[str, str] = field(default_factory=dict)
    narrowed: str = ""
    whole: set[str] = field(default_factory=set)
    used: dict[str, list[str]] = field(default_factory=dict)


_known: dict[str, Narrowing | NotNarrowable] = {}
_KNOWN = 1000  # models remembered by a process that goes on and on


def narrowing(model: Model, columns: Columns, folder: Path | None = None) -> Narrowing:
    """What the SQL of a model shows; raises NotNarrowable when it is nothing at all.

    To read it takes 10 to 30 ms, so it is done once for a model, the columns of its inputs and this code: eleven models
    of the shop are a twentieth of what a day costs. With a `folder` it is kept there.
    """
    tables = sorted((name, tuple(kinds.items())) for name, kinds in columns.items())
    place = repr((model.name, model.fingerprint, tables))
    if place not in _known:
        if len(_known) >= _KNOWN:
            _known.clear()
        try:
            _known[place] = _kept(model, columns, place, folder)
        except NotNarrowable as error:
            _known[place] = error
    found = _known[place]
    if isinstance(found, NotNarrowable):
        raise NotNarrowable(found.what, where=found.where, do=found.do)
    return found


def _kept(model: Model, columns: Columns, place: str, folder: Path | None) -> Narrowing:
    def read() -> dict[str, object]:
        from pipeline.project.keys import read_narrowing  # with the parser, 60 ms

        found = read_narrowing(model, columns)
        return {**asdict(found), "whole": sorted(found.whole)}

    held = kept(folder and folder / f"{model.name}.json", place, read)
    return Narrowing(**{**held, "whole": set(held["whole"])})
