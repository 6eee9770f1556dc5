"""A flow: a group of tables with a schedule, as goldfeed.yml declares it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from pipeline.project.source import Texts

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


class FlowFile(BaseModel):
    """The keys of a flow in goldfeed.yml."""

    model_config = ConfigDict(extra="forbid")

    select: Texts = Field(
        default_factory=list, description="Its tables, as for --select; default: those of no other flow"
    )
    schedule: str | None = Field(
        None, description="When it runs: cron of five fields, Sunday is 0 or 7; or @hourly, @daily"
    )
    time_zone: str = Field("UTC", description="The time zone of the schedule, such as Europe/Berlin")
    on_arrival: Duration | None = Field(None, description="Run when files have come and been still for this long")
    catch_up: Literal["skip", "latest", "all"] = Field(
        "latest", description="Runs missed while the service was down: none, the last of them, or each"
    )
    notify: Texts | None = Field(None, description="The channels that hear of it; default: all")
    retries: int = Field(3, ge=0, le=20, description="How often a task is tried again after an error that may pass")
    retry_wait: Duration = Field(0.5, description="Seconds before the first retry; each next one waits twice as long")
    retry_cap: Duration = Field(60.0, description="The longest wait between two tries")
    time_limit: Duration = Field(7200.0, description="A task that takes longer is interrupted and fails")
    run_time_limit: Duration = Field(7200.0, description="A run that takes longer is interrupted and fails")
    sla: Duration = Field(7200.0, description="A run that takes longer is noted as late")

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, value: str | None) -> str | None:
        if value is not None:
            from pipeline.project.almanac import trigger_of

            trigger_of(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no time zone; write it as Europe/Berlin") from error
        return value


@dataclass(frozen=True)
class Flow:
    """A flow as read: its name, what was written, and its tables by full name."""

    name: str
    spec: FlowFile
    tables: frozenset[str]
