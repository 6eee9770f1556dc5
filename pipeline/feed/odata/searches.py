"""$search: words and "phrases" with AND, OR, NOT and parentheses, found in any text of a row, whatever their case."""

from __future__ import annotations

import re

from pipeline.feed.odata.refusals import wrong
from pipeline.feed.odata.scope import Scope
from pipeline.feed.odata.tree import Search

_WORD = re.compile(r'\s*(?:(?P<phrase>"(?:[^"\\]|\\.)*")|(?P<sign>[()])|(?P<word>[^\s()"]+))')
_MOST = 50


def search_of(text: str) -> Search:
    """Raises RequestError (400) where it is not well formed."""
    words, place = list[str](), 0
    text = text.rstrip()
    while place < len(text):
        match = _WORD.match(text, place)
        if match is None or len(words) > _MOST:
            raise wrong("$search cannot be read" if match is None else f"$search has more than {_MOST} words")
        words.append(match[0].strip())
        place = match.end()
    found, rest = _either(words, 0)
    if rest:
        raise wrong(f"$search has {rest[0][:40]!r} where its end is expected")
    return found


def _either(words: list[str], depth: int) -> tuple[Search, list[str]]:
    if depth > _MOST:
        raise wrong("$search is nested too deep")
    one, words = _both(words, depth)
    parts = [one]
    while words[:1] == ["OR"]:
        one, words = _both(words[1:], depth)
        parts.append(one)
    return (parts[0] if len(parts) == 1 else Search("or", parts=tuple(parts))), words


def _both(words: list[str], depth: int) -> tuple[Search, list[str]]:
    one, words = _single(words, depth)
    parts = [one]
    while words and words[0] not in ("OR", ")"):
        one, words = _single(words[1:] if words[0] == "AND" else words, depth)
        parts.append(one)
    return (parts[0] if len(parts) == 1 else Search("and", parts=tuple(parts))), words


def _single(words: list[str], depth: int) -> tuple[Search, list[str]]:
    if not words or words[0] in ("AND", "OR", ")"):
        raise wrong("$search has no word where one is expected")
    first, rest = words[0], words[1:]
    if first == "NOT":
        inner, rest = _single(rest, depth + 1)
        return Search("not", parts=(inner,)), rest
    if first == "(":
        inner, rest = _either(rest, depth + 1)
        if rest[:1] != [")"]:
            raise wrong("$search has a parenthesis that is not closed")
        return inner, rest[1:]
    if first.startswith('"'):
        first = re.sub(r"\\(.)", r"\1", first[1:-1])
    return Search("term", first), rest


def search_sql(search: Search, scope: Scope) -> str:
    """The condition in SQL: a term is in a row when one of its texts contains it."""
    if search.name == "term":
        place = scope.context.bind(search.term.lower())
        names = [name for name, found in scope.shape.fields.items() if found.type.kind == "text"]
        texts = [f"coalesce(contains(lower({scope.value((name,)).sql}), {place}), false)" for name in names]
        return f"({' OR '.join(texts)})" if texts else "false"
    parts = [search_sql(part, scope) for part in search.parts]
    return f"(NOT {parts[0]})" if search.name == "not" else f"({f' {search.name.upper()} '.join(parts)})"
