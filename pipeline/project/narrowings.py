"""What the SQL of models shows, remembered: in the process, and in a file a model for the next one."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import sqlglot

from pipeline.errors import NotNarrowable
from pipeline.project import cut, keys, rematched, scopes, since, touch, touches
from pipeline.project.keys import Narrowing, read_narrowing
from pipeline.project.model import Model
from pipeline.project.scopes import Columns

_known: dict[str, Narrowing | NotNarrowable] = {}
_KNOWN = 1000  # models remembered by a process that goes on and on


def narrowing(model: Model, columns: Columns, folder: Path | None = None) -> Narrowing:
    """What the SQL of a model shows; raises NotNarrowable when it is nothing at all.

    To read it takes 10 to 30 ms, so it is done once for a model, the columns of its inputs and this code: eleven models
    of the shop are a twentieth of what a day costs. With a `folder` it is kept there, as JSON; what is damaged there, or
    of another place, is read anew.
    """
    place = _place(model, columns)
    if place not in _known:
        if len(_known) >= _KNOWN:
            _known.clear()
        try:
            _known[place] = _kept(model, columns, place, folder) if folder else read_narrowing(model, columns)
        except NotNarrowable as error:
            _known[place] = error
    found = _known[place]
    if isinstance(found, NotNarrowable):
        raise NotNarrowable(found.what, where=found.where, do=found.do)
    return found


def _place(model: Model, columns: Columns) -> str:
    """A name for all that the answer depends on."""
    tables = sorted((name, tuple(kinds.items())) for name, kinds in columns.items())
    said = repr((model.name, model.fingerprint, tables, _code()))
    return hashlib.sha256(said.encode()).hexdigest()


@lru_cache(maxsize=1)
def _code() -> tuple[object, ...]:
    """The code that reads it, this and the parser's: sizes and times of its files."""
    states = [Path(module.__file__ or "").stat() for module in (sqlglot, keys, cut, touches, touch, rematched, scopes, since)]
    return tuple((state.st_size, state.st_mtime_ns) for state in states)


def _kept(model: Model, columns: Columns, place: str, folder: Path) -> Narrowing:
    path = folder / f"{model.name}.json"
    with suppress(OSError, ValueError):  # it is not there, or no text
        seal, _, text = path.read_text(encoding="utf-8").partition("\n")
        if seal == _seal(place, text):
            held = json.loads(text)
            return Narrowing(**{**held, "whole": set(held["whole"])})
    found = read_narrowing(model, columns)
    text = json.dumps({**asdict(found), "whole": sorted(found.whole)})
    with suppress(OSError):  # no room: it is read again next time
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        beside.write_text(f"{_seal(place, text)}\n{text}", encoding="utf-8")
        os.replace(beside, path)
    return found


def _seal(place: str, text: str) -> str:
    """Of a place and what was found there: a bit that flips in SQL would give other rows, and nobody would know."""
    return hashlib.sha256(f"{place}\n{text}".encode()).hexdigest()
