"""Lengths of time and time zones, as goldfeed.yml writes them."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BeforeValidator

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(value: object) -> float:
    """`90`, `90s`, `10m`, `2h` or `1d` in seconds. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(value).strip())
    if found is None or not float(found[1]):
        raise ValueError(f"{value!r} is no length of time such as 90s, 10m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def _seconds(value: Any) -> Any:
    return None if value is None else seconds_of(value)


Duration = Annotated[float, BeforeValidator(_seconds)]


def zone_of(value: str) -> str:
    """The name of a time zone, if there is one. Raises ValueError."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        zones = {name.rpartition("/")[2]: name for name in sorted(available_timezones())}
        near = get_close_matches(value.rpartition("/")[2], zones, 1, 0.7)
        advice = f"did you mean {zones[near[0]]}?" if near else "write it as Europe/Berlin"
        raise ValueError(f"{value!r} is no time zone; {advice}") from error
    return value


def spoken(seconds: float) -> str:
    """A length of time for a person: 24 h, 90 min, 5 s."""
    for size, word in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.4g} {word}"
    return f"{seconds:.4g} s"
