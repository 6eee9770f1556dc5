"""A source: one YAML file that says which CSV files it takes and what their columns are."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pipeline.project.yamlfile import checked, read_yaml

_TYPES = re.compile(
    r"(varchar|text|boolean|date|timestamp|time|double|real|"
    r"tinyint|smallint|integer|int|bigint|hugeint|uuid|"
    r"decimal\(\s*\d{1,2}\s*,\s*\d{1,2}\s*\))"
)
LINEAGE = ("_file_id", "_line", "_batch", "_loaded_at")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_as_list)]


class Column(BaseModel):
    """One column of a source."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    type: str = Field("varchar", description="DuckDB type: varchar, integer, decimal(18,2), date, timestamp, ...")
    accepts: Texts = Field(default_factory=list, alias="from", description="Other headers that mean this column")
    format: Texts = Field(
        default_factory=list,
        description="How the text is written: strptime formats; for numbers decimal_point, decimal_comma",
    )
    on_error: Literal["quarantine", "null"] = Field(
        "quarantine", description="What a value that does not fit does: set its row aside, or become NULL"
    )
    required: bool = Field(False, description="A file without this column is rejected (keys always are)")
    not_null: bool = Field(
        False, description="A blank value, or one that does not fit, sets its row aside; a file without it is rejected"
    )
    pii: str | None = Field(None, description="Kind of personal data: email, name, phone, address, ...")
    description: str = Field("", description="One sentence for the people who read the table")

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        text = value.strip().lower()
        if not _TYPES.fullmatch(text):
            raise ValueError(f"{value!r} is not a type a source may have")
        return text.replace(" ", "")

    @field_validator("on_error", mode="before")
    @classmethod
    def _null_is_a_word(cls, value: object) -> object:
        return "null" if value is None else value

    @model_validator(mode="after")
    def _one_word_on_null(self) -> Column:
        if self.not_null and self.on_error == "null":
            raise ValueError("a column that is not_null cannot become NULL by on_error: null")
        return self

    @model_validator(mode="after")
    def _format_fits(self) -> Column:
        if not self.format:
            return self
        if self.type in ("date", "timestamp", "time"):
            wrong = [text for text in self.format if "%" not in text]
        elif self.is_number:
            wrong = [text for text in self.format if text not in ("decimal_point", "decimal_comma")]
        else:
            raise ValueError(f"a {self.type} has no format")
        if wrong:
            raise ValueError(f"the format {wrong[0]!r} does not suit the type {self.type}")
        return self

    @property
    def is_text(self) -> bool:
        """Kept as it comes: every text fits."""
        return self.type in ("varchar", "text")

    @property
    def is_number(self) -> bool:
        """Integers, decimals and floats."""
        return (
            self.type.startswith("decimal") or self.type.endswith("int") or self.type in ("integer", "double", "real")
        )


class Operation(BaseModel):
    """Which column says that a row takes its key away."""

    model_config = ConfigDict(extra="forbid")

    column: str = Field(description="The column that tells what happened to the key")
    delete: Texts = Field(description="Its values that mean: the key is gone")


class SourceFile(BaseModel):
    """The keys of a source's YAML file."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field("", description="One sentence for the people who read the table")
    files: Texts = Field(description="Patterns of file names under landing/, subfolders too")
    key: Texts = Field(default_factory=list, description="Business key: the columns that name one thing")
    latest_by: Texts = Field(default_factory=list, description="Which version of a key wins; ties: file, then line")
    operation: Operation | None = Field(
        None, description="For change feeds: the column and the values of it that delete a key"
    )
    columns: dict[str, Column] = Field(description="The columns, by their names in bronze")
    drift: Literal["evolve", "ignore", "reject"] = Field(
        "evolve", description="What a column nobody declared does: join the table, be left out, reject the file"
    )
    delimiter: Literal[",", ";", "\t", "|"] | None = Field(None, description="Found by itself unless stated")
    encoding: Literal["utf-8", "utf-16", "latin-1", "windows-1252"] | None = Field(
        None, description="Found by itself unless stated"
    )
    padded: bool | None = Field(
        None, description="Blanks stand around the delimiters, also before quotes; found by itself unless stated"
    )

    @field_validator("columns")
    @classmethod
    def _some_columns(cls, value: dict[str, Column]) -> dict[str, Column]:
        if not value:
            raise ValueError("a source needs at least one column")
        for name in value:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"the column name {name!r} must be lower_case letters, digits and _")
        return value

    @model_validator(mode="after")
    def _keys_are_columns(self) -> SourceFile:
        for key, names in (("key", self.key), ("latest_by", self.latest_by)):
            for name in names:
                if name not in self.columns:
                    raise ValueError(f"{key} names {name!r}, which is not one of the columns")
        if self.operation and self.operation.column not in self.columns:
            raise ValueError(f"operation names {self.operation.column!r}, which is not one of the columns")
        return self


class Source(SourceFile):
    """A source as read: its keys, its name (the file's) and its path."""

    name: str
    path: Path

    @property
    def table(self) -> str:
        """Its bronze table."""
        return f"bronze.{self.name}"

    def header_names(self) -> dict[str, str]:
        """Every accepted header, folded -> the column it means."""
        names: dict[str, str] = {}
        for column, spec in self.columns.items():
            for header in (column, *spec.accepts):
                names.setdefault(folded(header), column)
        return names

    def must_have(self) -> list[str]:
        """Columns without which a file is rejected."""
        return [name for name, spec in self.columns.items() if spec.required or spec.not_null or name in self.key]


@lru_cache(maxsize=4096)
def folded(header: str) -> str:
    """Headers are compared without case, outer blanks, and with blanks and dashes as `_`."""
    return re.sub(r"[\s_-]+", "_", header.strip().strip('\ufeff"').strip()).casefold()


def read_source(path: Path) -> Source:
    """Read one source file. Raises ProjectError with file and line."""
    text = path.read_text(encoding="utf-8")
    keys = checked(SourceFile, read_yaml(text, path), text, path)
    return Source.model_construct(**{**dict(keys), "name": path.stem, "path": path})
