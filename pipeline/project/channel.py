"""A channel: where word of a flow goes, as goldfeed.yml declares it. The address is a secret, so it comes from outside."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Event = Literal["failure", "withheld", "freshness", "deadline", "recovered", "late", "success"]
_BAD_NEWS: list[Event] = ["failure", "withheld", "freshness", "deadline", "recovered"]


class ChannelFile(BaseModel):
    """The keys of a channel in goldfeed.yml."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url_env: str | None = Field(
        None,
        description="The variable that holds its address, as Apprise writes it: mailtos://..., sns://..., slack://...",
    )
    url_file: str | None = Field(None, description="Or the file that holds it, such as /run/secrets/mail")
    events: list[Event] = Field(
        default_factory=lambda: list(_BAD_NEWS),
        alias="on",
        description="What it hears of; default: failure, withheld, freshness, deadline, recovered; also: late, success",
    )

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_word(cls, value: object) -> object:
        if isinstance(value, dict) and True in value:  # YAML 1.1 takes a bare `on` for true
            value = {("on" if key is True else key): item for key, item in value.items()}
        return value

    @model_validator(mode="after")
    def _one_address(self) -> ChannelFile:
        if (self.url_env is None) == (self.url_file is None):
            raise ValueError("a channel needs url_env or url_file, where its address is")
        if not re.fullmatch(r"\w+", self.url_env or "_") or "://" in (self.url_file or ""):
            raise ValueError("url_env is the name of a variable, and url_file of a file: the address itself is a secret")
        return self
