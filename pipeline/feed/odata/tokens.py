"""The words of OData's expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.feed.odata.refusals import wrong

_MOST = 5000  # tokens of one option
_PATTERN = re.compile(
    r"""
    (?P<space>[ \t]+)
  | (?P<quoted>(?P<prefix>duration|binary|geography|geometry)?'(?:[^']|'')*')
  | (?P<guid>[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b)
  | (?P<moment>-?\d{4,}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[-+ ]\d\d:\d\d)?)
  | (?P<date>-?\d{4,}-\d\d-\d\d\b)
  | (?P<time>\d\d:\d\d(?::\d\d(?:\.\d+)?)?\b)
  | (?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![^\W_])
  | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
  | (?P<special>[$@]\w+)
  | (?P<sign>[-(),/:=*;+])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """kind: quoted, guid, moment, date, time, number, name, special, sign, or end."""

    kind: str
    text: str
    place: int


def tokens_of(text: str, option: str) -> list[Token]:
    """All tokens, the last of kind `end`. Raises RequestError (400) where none fits."""
    found, place = list[Token](), 0
    while place < len(text):
        match = _PATTERN.match(text, place)
        if match is None or len(found) > _MOST:
            what = "is too long" if match else f"cannot be read at {text[place : place + 20]!r}"
            raise wrong(f"{option} {what}")
        kind = next(name for name, value in match.groupdict().items() if value is not None)
        if kind != "space":
            found.append(Token(kind, match[0], place))
        place = match.end()
    return [*found, Token("end", "", place)]


class Reader:
    """Tokens, read from left to right."""

    def __init__(self, text: str, option: str) -> None:
        self.option = option
        self._tokens, self._at = tokens_of(text, option), 0

    @property
    def now(self) -> Token:
        return self._tokens[self._at]

    def ahead(self, steps: int = 1) -> Token:
        return self._tokens[min(self._at + steps, len(self._tokens) - 1)]

    def take(self, *texts: str) -> Token:
        """The next token, which must be one of these (default: any). Raises RequestError (400)."""
        token = self.now
        if (texts and token.text not in texts) or token.kind == "end":
            raise self.unexpected(" or ".join(texts))
        self._at += 1
        return token

    def took(self, *texts: str) -> str:
        """The next token's text if it is one of these, which is then taken; else nothing."""
        token = self.now
        if token.kind in ("name", "sign", "special") and token.text in texts:
            self._at += 1
            return token.text
        return ""

    def name(self) -> str:
        """The next token, which must be a name."""
        if self.now.kind != "name":
            raise self.unexpected("a name")
        return self.take().text

    def finish(self) -> None:
        """Raises RequestError (400) if something is left."""
        if self.now.kind != "end":
            raise self.unexpected("the end")

    def unexpected(self, wanted: str) -> Exception:
        there = repr(self.now.text[:40]) if self.now.text else "its end"
        return wrong(f"{self.option} has {there} at {self.now.place} where {wanted or 'more'} is expected")
