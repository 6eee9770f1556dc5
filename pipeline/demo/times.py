"""Times and money as text, from whole numbers only."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

DAY_SECONDS = 86_400


@cache
def clock() -> tuple[str, ...]:
    """Every second of a day as HH:MM:SS."""
    minutes = [f"{h:02d}:{m:02d}" for h in range(24) for m in range(60)]
    return tuple(f"{minute}:{s:02d}" for minute in minutes for s in range(60))


@cache
def minutes() -> tuple[str, ...]:
    """Every whole minute of a day as HH:MM:00."""
    return clock()[::60]


def calendar(start: date, days: int) -> list[str]:
    """The days of the shop as YYYY-MM-DD."""
    return [(start + timedelta(days=day)).isoformat() for day in range(days)]


def money(cents: int) -> str:
    """Cents as a decimal with two places."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"
