"""A flow: a group of tables with a schedule, as goldfeed.yml declares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.project.duration import Duration, zone_of
from pipeline.project.promise import TableFile
from pipeline.project.source import Texts


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
    freshness: Duration | None = Field(
        86_400.0, description="Readers are told when a gold table is older than this; null: never"
    )
    tables: dict[str, TableFile] = Field(default_factory=dict, description="What holds for single tables, by name")

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, value: str | None) -> str | None:
        if value is not None:
            from pipeline.project.almanac import check_cron

            check_cron(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        return zone_of(value)


@dataclass(frozen=True)
class Flow:
    """A flow as read: its name, what was written, and its tables by full name."""

    name: str
    spec: FlowFile
    tables: frozenset[str]
