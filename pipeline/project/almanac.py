"""When a flow is due: cron in the wall clock of its time zone, each of its times exactly once.

APScheduler's CronTrigger steps through the wall clock as if it knew no daylight
saving; each time is then placed in the zone. So 02:30 is one run on the day on
which it comes twice (the first), and one on the day on which there is none (as
much later as the clock jumps). Asked directly, the trigger fires twice in autumn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_PLAIN = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))  # the numbers of each field


def check_cron(cron: str) -> None:
    """Raise ValueError with a sentence for what is no cron expression.

    Plain numbers and stars need no look by APScheduler, which brings asyncio: 35 ms of each command.
    """
    fields = cron.split()
    if len(fields) != 5 or not all(_is_plain(text, *ends) for text, ends in zip(fields, _PLAIN, strict=True)):
        trigger_of(cron)


def _is_plain(field: str, low: int, high: int) -> bool:
    return field == "*" or (field.isascii() and field.isdigit() and len(field) <= 2 and low <= int(field) <= high)


@lru_cache(maxsize=1024)
def trigger_of(cron: str) -> CronTrigger:
    """Five fields of cron, or @daily and the like. Raises ValueError with a sentence.

    Sunday is 0 or 7, as in cron (APScheduler's own from_crontab takes 0 for Monday).
    """
    from apscheduler.triggers.cron import CronTrigger

    fields = _NICKNAMES.get(cron.strip().lower(), cron).split()
    if len(fields) != 5:
        raise ValueError(f"{cron!r} is no cron expression: it takes minute, hour, day, month and day of the week")
    given = dict(zip(_FIELDS, fields, strict=True))
    for name, text in given.items():
        try:
            given[name] = _named_days(text) if name == "day_of_week" else text
            CronTrigger(**{name: given[name]}, timezone=UTC)
        except ValueError as error:
            what = f"the {name.replace('_', ' ')} {text!r} cannot be read ({error})"
            raise ValueError(f"{cron!r} is no cron expression: {what}") from error
    return CronTrigger(**given, timezone=UTC)


def _named_days(field: str) -> str:
    """Numbers of days as names; a range that begins on Sunday is written out."""
    parts = []
    for part in field.split(","):
        spread = re.fullmatch(r"([0-7])-([0-7])", part)
        if spread:
            first, last = int(spread[1]), int(spread[2])
            if first > last:
                raise ValueError(f"the days {part} stand the wrong way round")
            parts += [_DAYS[number] for number in range(first, last + 1)]
        else:
            parts.append(re.sub(r"^[0-7]$", lambda found: _DAYS[int(found[0])], part))
    return ",".join(dict.fromkeys(parts))


def local(moment: datetime, place: ZoneInfo) -> datetime:
    """A UTC time, naive, as the wall clock of a zone shows it."""
    return moment.replace(tzinfo=UTC).astimezone(place)


def utc_naive(wall: datetime, place: ZoneInfo) -> datetime:
    """A time of the wall clock in UTC, naive; the first, where it comes twice."""
    return wall.replace(tzinfo=place, fold=0).astimezone(UTC).replace(tzinfo=None)


def due_after(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The times at which a flow is due after a time, in order; all UTC and naive. Endless, unless the cron has an end."""
    trigger, place = trigger_of(cron), ZoneInfo(zone)
    wall = local(after, place).replace(tzinfo=UTC, fold=0) - timedelta(hours=3)
    last = after
    while True:
        found = trigger.get_next_fire_time(None, wall)
        if found is None:
            return
        wall = found + timedelta(seconds=1)
        due = utc_naive(found, place)
        if due > last:
            last = due
            yield due
