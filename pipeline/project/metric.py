"""A figure of the business, as goldfeed.yml declares it under metrics:."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_RESERVED = ("_total", "_count", "_sum", "_bucket", "_info")
AT_MOST = 50


def _is_name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,50}", value) or value.endswith(_RESERVED):
        raise ValueError(
            f"{value!r} is no name of a metric: small letters, digits and _, not ending in {', '.join(_RESERVED)}"
        )
    return value


MetricName = Annotated[str, AfterValidator(_is_name)]


class MetricFile(BaseModel):
    """The keys of a figure."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field(description="What it is, with its unit")
    sql: str = Field(description="One SELECT that gives one number; gold tables by their bare names")
