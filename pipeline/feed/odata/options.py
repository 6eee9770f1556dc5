"""The query options of an address, read into what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_plus

from pipeline.feed.odata.applies import computed, steps_of
from pipeline.feed.odata.grammar import Expressions
from pipeline.feed.odata.refusals import unsupported, wrong
from pipeline.feed.odata.searches import search_of
from pipeline.feed.odata.tokens import Reader
from pipeline.feed.odata.tree import Expand, Node, Options, Sort, Step

SYSTEM = {
    "filter", "select", "orderby", "top", "skip", "count", "expand", "search", "apply", "compute", "format", "skiptoken"
}  # fmt: skip
_NOT_OFFERED = {"deltatoken", "levels", "index", "schemaversion", "id", "root", "it"}
_MOST = 2**31
_DEEPEST = 4  # levels of $expand


@dataclass(frozen=True)
class Query:
    """All options of an address. `given` are the texts by name, without `$`; `aliases` the values of `@name`."""

    given: dict[str, str]
    aliases: dict[str, str]
    options: Options
    apply: tuple[Step, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether nothing was asked that only rows have."""
        return not (set(self.given) - {"format"})


def query_of(text: str) -> Query:
    """The query part of an address. Raises RequestError: 400 where it is wrong, 501 for what is not offered."""
    given, aliases = _split(text)
    options = Options()
    for name, value in given.items():
        if name in _SETTERS:
            options = _SETTERS[name](options, value, aliases)
    apply = tuple(steps_of(given["apply"], aliases)) if "apply" in given else ()
    return Query(given, aliases, options, apply)


def _split(text: str) -> tuple[dict[str, str], dict[str, str]]:
    given: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for part in filter(None, text.split("&")):
        name, _, value = part.partition("=")
        name, value = _decoded(name), _decoded(value)
        if name.startswith("@"):
            aliases[name] = value
        elif name.startswith("$") or name in SYSTEM:
            _put(given, name.removeprefix("$"), value.strip())
    return given, aliases


def _put(given: dict[str, str], name: str, value: str) -> None:
    if name in given:
        raise wrong(f"${name[:60]} is given twice")
    if name in _NOT_OFFERED:
        raise unsupported(f"${name}")
    if name not in SYSTEM:
        raise wrong(f"${name[:60]} is not a query option")
    if not value:
        raise wrong(f"${name} is empty")
    given[name] = value


def _decoded(text: str) -> str:
    try:
        decoded = unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise wrong("the address is not UTF-8") from error
    if "\x00" in decoded or re.search("[\ud800-\udfff]", decoded):
        raise wrong("the address has a character that no text can have")
    return decoded


# ---------------------------------------------------------------- each option
def _filter(options: Options, value: str, aliases: dict[str, str]) -> Options:
    return replace(options, filter=parsed(value, "$filter", aliases))


def parsed(text: str, option: str, aliases: Mapping[str, str]) -> Node:
    """One expression, to its end."""
    reader = Reader(text, option)
    node = Expressions(reader, dict(aliases)).expression()
    reader.finish()
    return node


def _order(options: Options, value: str, aliases: dict[str, str]) -> Options:
    reader = Reader(value, "$orderby")
    found = replace(options, order=tuple(_sorts(Expressions(reader, aliases))))
    reader.finish()
    return found


def _sorts(expressions: Expressions) -> list[Sort]:
    found = list[Sort]()
    while True:
        node = expressions.expression()
        found.append(Sort(node, expressions.reader.took("asc", "desc") == "desc"))
        if not expressions.reader.took(","):
            return found


def _select(options: Options, value: str, aliases: dict[str, str]) -> Options:
    reader = Reader(value, "$select")
    found = replace(options, select=tuple(_names(reader)))
    reader.finish()
    return found


def _names(reader: Reader) -> list[str]:
    found = list[str]()
    while True:
        name = reader.took("*") or reader.name()
        if reader.now.text == "/":
            raise unsupported("a path in $select", "use $expand with $select in it")
        found.append(name)
        if not reader.took(","):
            return found


def _compute(options: Options, value: str, aliases: dict[str, str]) -> Options:
    reader = Reader(value, "$compute")
    found = replace(options, compute=tuple(computed(Expressions(reader, aliases))))
    reader.finish()
    return found


def _expand(options: Options, value: str, aliases: dict[str, str]) -> Options:
    reader = Reader(value, "$expand")
    found = replace(options, expand=tuple(_expands(Expressions(reader, aliases), 1)))
    reader.finish()
    return found


def _expands(expressions: Expressions, depth: int) -> list[Expand]:
    if depth > _DEEPEST:
        raise wrong(f"$expand is nested more than {_DEEPEST} deep")
    reader, found = expressions.reader, list[Expand]()
    while True:
        name = reader.took("*") or reader.name()
        if reader.now.text == "/":
            raise unsupported("$ref, $count or a type in $expand")
        options = _inner(expressions, depth) if name != "*" and reader.took("(") else Options()
        found.append(Expand(name, options))
        if not reader.took(","):
            return found


def _inner(expressions: Expressions, depth: int) -> Options:
    """The options of an expanded navigation property: `($filter=...;$top=3)`."""
    reader, options, seen = expressions.reader, Options(), set[str]()
    while True:
        name = reader.take().text.removeprefix("$")
        if name in seen:
            raise wrong(f"${name[:60]} is given twice in $expand")
        seen.add(name)
        reader.take("=")
        options = _inner_option(expressions, options, name, depth)
        if reader.took(")"):
            return options
        reader.take(";")


def _inner_option(expressions: Expressions, options: Options, name: str, depth: int) -> Options:
    reader = expressions.reader
    match name:
        case "filter":
            return replace(options, filter=expressions.expression())
        case "orderby":
            return replace(options, order=tuple(_sorts(expressions)))
        case "select":
            return replace(options, select=tuple(_names(reader)))
        case "compute":
            return replace(options, compute=tuple(computed(expressions)))
        case "expand":
            return replace(options, expand=tuple(_expands(expressions, depth + 1)))
        case "top":
            return replace(options, top=number(reader.take().text, name))
        case "skip":
            return replace(options, skip=number(reader.take().text, name))
        case "count":
            return replace(options, count=truth(reader.take().text, name))
    if name in SYSTEM | _NOT_OFFERED:
        raise unsupported(f"${name} in $expand")
    raise wrong(f"${name[:60]} is not a query option")


def number(text: str, name: str) -> int:
    """A whole number from 0. Raises RequestError (400)."""
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise wrong(f"${name} is {text[:30]!r} but must be a whole number from 0")
    return min(int(text), _MOST)


def truth(text: str, name: str) -> bool:
    """true or false. Raises RequestError (400)."""
    if text not in ("true", "false"):
        raise wrong(f"${name} is {text[:30]!r} but must be true or false")
    return text == "true"


_SETTERS: dict[str, Any] = {
    "filter": _filter,
    "orderby": _order,
    "select": _select,
    "compute": _compute,
    "expand": _expand,
    "search": lambda options, value, _: replace(options, search=search_of(value)),
    "top": lambda options, value, _: replace(options, top=number(value, "top")),
    "skip": lambda options, value, _: replace(options, skip=number(value, "skip")),
    "count": lambda options, value, _: replace(options, count=truth(value, "count")),
}
