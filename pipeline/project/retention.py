"""How long what is no longer needed is kept, as goldfeed.yml declares it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.project.almanac import check_cron
from pipeline.project.duration import Duration, zone_of


class RetentionFile(BaseModel):
    """The keys under retention: in goldfeed.yml."""

    model_config = ConfigDict(extra="forbid")

    schedule: str = Field("30 3 * * *", description="When the service looks what may go: cron, as for a flow")
    time_zone: str = Field("UTC", description="The time zone of the schedule")
    bronze: Duration | None = Field(
        None, description="Superseded rows of files that came longer ago leave bronze; default: never"
    )
    quarantine: Duration | None = Field(None, description="Rows set aside longer ago leave quarantine; default: never")
    archive: Duration | None = Field(
        None, description="Files that came longer ago, and of which no row is left, leave archive/; default: never"
    )
    ledger: Duration | None = Field(
        None, description="Runs, tasks and deliveries longer ago leave the ledger; default: never"
    )
    versions: Duration | None = Field(
        None, description="Younger versions stay published beside the last `keep_versions`; default: 0"
    )

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        check_cron(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        return zone_of(value)

    @property
    def removes(self) -> bool:
        """Whether anything is ever to go at night."""
        return any((self.bronze, self.quarantine, self.archive, self.ledger, self.versions))
