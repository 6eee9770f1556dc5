"""Literals of every type, as Python's values; what does not exist (31 February) is wrong."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from pipeline.feed.odata.refusals import unsupported, wrong
from pipeline.feed.odata.tokens import Token
from pipeline.feed.odata.tree import Literal
from pipeline.feed.odata.types import BOOLEAN, DATE, DOUBLE, GUID, INT32, INT64, MOMENT, SPAN, STRING, TIME, Type

WORDS = {
    "null": Literal(None, None),
    "true": Literal(True, BOOLEAN),
    "false": Literal(False, BOOLEAN),
    "INF": Literal(float("inf"), DOUBLE),
    "NaN": Literal(float("nan"), DOUBLE),
}
_SPAN = re.compile(r"([-+])?P(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12}(?:\.\d{1,6})?)S)?)?")
_DIGITS = 38


def literal_of(token: Token) -> Literal:
    """The value of a token. Raises RequestError: 400 for one that cannot be, 501 for binary and geography."""
    try:
        return _READERS[token.kind](token.text)
    except (ValueError, OverflowError, ArithmeticError) as error:
        raise wrong(f"{token.text[:60]!r} is not a value") from error


def number(text: str) -> Literal:
    """Int32, Int64, Decimal or, with an exponent, Double: by how it is written."""
    if "e" in text.lower():
        return Literal(float(text), DOUBLE)
    value: Any = Decimal(text)
    digits = len(value.as_tuple().digits)
    if digits > _DIGITS or max(-int(value.as_tuple().exponent), 0) > _DIGITS:
        raise ValueError("too many digits")
    if "." in text:
        return Literal(value, Type("Edm.Decimal", "DECIMAL"))
    whole = int(value)
    kind = INT32 if whole < 2**31 else INT64 if whole < 2**63 else Type("Edm.Decimal", "HUGEINT")
    return Literal(whole, kind)


def _quoted(text: str) -> Literal:
    prefix, _, rest = text.partition("'")
    if not prefix:
        return Literal(rest[:-1].replace("''", "'"), STRING)
    if prefix != "duration":
        raise unsupported(f"a {prefix} value")
    return Literal(_span(rest[:-1]), SPAN)


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text)
    if found is None or text.endswith(("P", "T")):
        raise ValueError("not a duration")
    days, hours, minutes, seconds = (Decimal(part or 0) for part in found.groups()[1:])
    whole = timedelta(days=int(days), hours=int(hours), minutes=int(minutes))
    exact = whole + timedelta(microseconds=int(seconds * 1_000_000))
    return -exact if found[1] == "-" else exact


def _moment(text: str) -> Literal:
    """In UTC; a plus sign that came as a space is a plus sign; without a zone it is UTC."""
    clock = text.upper().replace(" ", "+")
    day, _, rest = clock.partition("T")
    fraction = re.sub(r"\.(\d{1,6})\d*", lambda match: "." + match[1].ljust(6, "0"), rest)
    value = datetime.fromisoformat(f"{day}T{fraction}")
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return Literal(value, MOMENT)


_READERS = {
    "quoted": _quoted,
    "guid": lambda text: Literal(uuid.UUID(text), GUID),
    "moment": _moment,
    "date": lambda text: Literal(date.fromisoformat(text), DATE),
    "time": lambda text: Literal(time.fromisoformat(text), TIME),
    "number": number,
}
