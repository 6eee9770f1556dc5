"""What is promised of single tables: limits of their tasks, how fresh they are, and by when a day is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pipeline.project.almanac import local, utc_naive
from pipeline.project.duration import Duration, zone_of

_DAYS = {"today": 0, "yesterday": 1}
_SENTENCE = re.compile(r"(?:through\s+)?(?P<through>.+?)\s+by\s+(?P<by>\d{1,2}:\d\d)(?:\s+(?P<zone>\S+))?")


def _clock_text(value: Any) -> Any:
    """YAML 1.1 takes a bare 17:00 for the number 1020."""
    return f"{value // 60:02d}:{value % 60:02d}" if isinstance(value, int) and 0 <= value < 1440 else value


class Deadline(BaseModel):
    """By when on each day a table must hold the data through another day."""

    model_config = ConfigDict(extra="forbid")

    through: str = Field("yesterday", description="The last day that must be in it: today, yesterday or 3 days ago")
    by: Annotated[str, BeforeValidator(_clock_text)] = Field(description="The time of the day, such as 07:00")
    time_zone: str | None = Field(None, description="Its time zone; default: that of the flow")
    column: str | None = Field(
        None,
        description="The column whose newest value must be that day or later; default: new data came after that day",
    )

    @model_validator(mode="before")
    @classmethod
    def _sentence(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = _SENTENCE.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{value!r} is no deadline such as 'through yesterday by 07:00 Europe/Berlin'")
        return {"through": found["through"], "by": found["by"], "time_zone": found["zone"]}

    @field_validator("through")
    @classmethod
    def _is_day(cls, value: str) -> str:
        if value not in _DAYS and not re.fullmatch(r"[1-9]\d? days? ago", value):
            raise ValueError(f"{value!r} is no day; write today, yesterday or 3 days ago")
        return value

    @field_validator("by")
    @classmethod
    def _is_time(cls, value: str) -> str:
        time.fromisoformat(value.zfill(5))
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str | None) -> str | None:
        return None if value is None else zone_of(value)

    @property
    def days_back(self) -> int:
        """How many days before the day of the deadline the data must reach."""
        return _DAYS[self.through] if self.through in _DAYS else int(self.through.split()[0])


class TableFile(BaseModel):
    """The keys of a table within a flow."""

    model_config = ConfigDict(extra="forbid")

    time_limit: Duration | None = Field(None, description="Its tasks' own limit; default: that of the flow")
    sla: Duration | None = Field(None, description="A task of it that takes longer is noted as late")
    freshness: Duration | None = Field(
        None, description="gold: readers are told when it is older than this; default: that of the flow"
    )
    deadline: Deadline | None = Field(
        None, description="gold: by when a day must be in it, such as 'through yesterday by 07:00 Europe/Berlin'"
    )


@dataclass(frozen=True)
class Due:
    """A deadline on one day. Times are UTC, naive; data that came at or after `counts` are those of `day` or later."""

    at: datetime
    counts: datetime
    day: date
    next: datetime


def last_due(deadline: Deadline, zone: str, now: datetime) -> Due:
    """The latest deadline at or before now."""
    place = ZoneInfo(deadline.time_zone or zone)
    today, at = local(now, place).date(), time.fromisoformat(deadline.by.zfill(5))
    dues = [utc_naive(datetime.combine(today + timedelta(days=days), at), place) for days in (-1, 0, 1)]
    late = 1 if dues[1] <= now else 0
    day = today + timedelta(days=late - 1 - deadline.days_back)
    counts = day + timedelta(days=1 if deadline.days_back else 0)
    return Due(dues[late], utc_naive(datetime.combine(counts, time()), place), day, dues[late + 1])
