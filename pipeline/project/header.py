"""The header of a model: how its table is kept, and what it says of it."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.project.source import Texts

Kind = Literal["upsert", "append", "incremental", "scd2", "full", "view"]
NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBERED = ("full", "incremental", "scd2")  # kinds that give surrogate keys


class Measure(BaseModel):
    """A figure for Power BI, written in DAX."""

    model_config = ConfigDict(extra="forbid")

    expression: str = Field(min_length=1, description="DAX")
    format: str = Field("#,0", description="How it is shown")
    description: str = Field("", description="One sentence about it")


class Header(BaseModel):
    """The keys of a model's header."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field(description="One sentence for the people who read the table")
    kind: Kind = Field("full", description="How the table is kept: upsert, append, incremental, scd2, full, view")
    key: Texts = Field(
        default_factory=list,
        description="The columns that name one row; the table is kept in their order, or in that of its surrogate_key",
    )
    latest_by: Texts = Field(
        default_factory=list,
        description="upsert: which version of a key wins (default: the source's); ties: file, line",
    )
    valid_from: str | None = Field(None, description="scd2: the column with the time a version began")
    surrogate_key: str | None = Field(None, description="Name of a small integer key the engine gives and keeps")
    unknown_member: bool | None = Field(
        None, description="Add the row -1 that facts without a match point to (default: for scd2)"
    )
    foreign_keys: dict[str, str] = Field(default_factory=dict, description="column: gold.table.column it points to")
    rules: dict[str, str] = Field(
        default_factory=dict, description="name: condition; a row that breaks one is set aside"
    )
    columns: dict[str, str] = Field(default_factory=dict, description="column: one sentence about it")
    measures: dict[str, Measure] = Field(
        default_factory=dict, description="Power BI: name: expression (DAX), format, description"
    )
    refresh_by: str | None = Field(
        None, description="Power BI: the date or time, never NULL, by which the table is refreshed in part"
    )
    pii: dict[str, Literal["clear", "masked"]] = Field(
        default_factory=dict,
        description="column: clear, to publish personal data for roles that may see it; masked, by a Polars function",
    )
    select: str | None = Field(
        None, description="Polars: a SELECT whose rows are the function's one argument (default: the tables its arguments name)"
    )
    lineage: dict[str, Texts] = Field(
        default_factory=dict,
        description="Polars: column: the table.column it is made of (default: every column of every input)",
    )

    @model_validator(mode="after")
    def _complete(self) -> Header:
        if self.kind in ("upsert", "incremental", "scd2") and not self.key:
            raise ValueError(f"the kind {self.kind} needs a key")
        if self.kind == "scd2" and not self.valid_from:
            raise ValueError("the kind scd2 needs valid_from, the column with the time a version began")
        if self.surrogate_key and not self.key:
            raise ValueError("a surrogate_key needs a key")
        if self.surrogate_key and self.kind not in _NUMBERED:
            raise ValueError(f"the kind {self.kind} gives no surrogate_key; {', '.join(_NUMBERED)} do")
        for name in (*self.rules, *filter(None, [self.surrogate_key])):
            if not NAME.fullmatch(name):
                raise ValueError(f"the name {name!r} must be lower_case letters, digits and _")
        return self

    @property
    def order(self) -> list[str]:
        """The columns in whose order the table is kept and published; empty without a key."""
        return [self.surrogate_key] if self.surrogate_key else self.key

    @property
    def has_unknown_member(self) -> bool:
        """Whether the row -1 is kept in the table."""
        if self.unknown_member is not None:
            return self.unknown_member
        return self.kind == "scd2" and self.surrogate_key is not None
