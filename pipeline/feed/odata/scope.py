"""Where names mean something: the rows at hand, the way along navigation properties, and the values bound on the way."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pipeline.feed.odata.model import Entity, Model, Navigation
from pipeline.feed.odata.refusals import unknown, unsupported, wrong
from pipeline.feed.odata.types import MOMENT, STRING, Type, is_plain_text
from pipeline.sql import quoted

_MISSING = object()
_PLACE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\d+)""")  # quoted things stay as they are


@dataclass(frozen=True)
class Value:
    """SQL and its type; the type of null is None. `constant` is the value of a literal; `filled`: neither null nor infinite."""

    sql: str
    type: Type | None
    nullable: bool = True
    constant: Any = _MISSING
    filled: bool = False

    @property
    def known(self) -> bool:
        """Whether it is a literal other than null."""
        return self.constant is not _MISSING

    @property
    def kind(self) -> str:
        return self.type.kind if self.type else "null"


@dataclass(frozen=True)
class Field:
    """A column of a shape: its name in SQL and its type."""

    column: str
    type: Type
    nullable: bool = True
    filled: bool = False


@dataclass(frozen=True)
class Shape:
    """Rows to choose from: an entity set, or what $apply made of one (then `entity` is None and names may have slashes)."""

    relation: str
    fields: dict[str, Field]
    key: tuple[str, ...]
    entity: Entity | None = None


def shape_of(entity: Entity) -> Shape:
    """All rows of an entity set."""
    fields = {
        name: Field(found.column, found.type, found.nullable, found.filled) for name, found in entity.properties.items()
    }
    return Shape(entity.relation, fields, entity.key, entity)


@dataclass
class Context:
    """One statement in the making: the values bound so far (`$1`, `$2`, ...), and names for its parts."""

    model: Model
    now: datetime
    values: list[Any] = field(default_factory=list)
    singles: set[str] = field(default_factory=set)  # entity sets of which one row is taken for one of another
    _names: int = 0

    def bind(self, value: Any) -> str:
        """The place of a value in the statement: the only way in which one gets there."""
        self.values.append(value)
        return f"${len(self.values)}"

    def safe(self, sql: str) -> str:
        """What can fail for some values. DuckDB may calculate it for rows that the reader may not see, so for such a reader
        it must not fail but be null: an error would tell of them. Raises RequestError (501) where that cannot be."""
        if not any(entity.limited for entity in self.model.entities.values()):
            return sql
        if "SELECT" in sql:
            raise unsupported("calculating with $count")
        return f"TRY({sql})"

    def statement(self, sql: str) -> tuple[str, list[Any]]:
        """The statement and its values, without those it does not name (the 5 of `5 gt null`): DuckDB refuses them."""
        named = sorted({int(found[1]) for found in _PLACE.finditer(sql) if found[1]})
        places = {str(old): f"${new}" for new, old in enumerate(named, 1)}
        numbered = _PLACE.sub(lambda found: places[found[1]] if found[1] else found[0], sql)
        return numbered, [self.values[number - 1] for number in named]

    def alias(self) -> str:
        """A new name for a relation."""
        self._names += 1
        return f"t{self._names}"


class Scope:
    """The rows of one relation under an alias, and what was joined to them."""

    def __init__(self, context: Context, shape: Shape) -> None:
        self.context, self.shape = context, shape
        self.alias = context.alias()
        self.computed: dict[str, Value] = {}
        self._joins: dict[str, Scope] = {}
        self.joins: list[str] = []

    @property
    def source(self) -> str:
        """What stands after FROM; complete only when all expressions have been made."""
        return " ".join([f"{self.shape.relation} AS {self.alias}", *self.joins])

    def value(self, names: tuple[str, ...]) -> Value:
        """The value at the end of a path of names. Raises RequestError (400) where there is none."""
        whole = "/".join(names)
        if whole in self.computed:
            return self.computed[whole]
        if found := self.shape.fields.get(whole):
            return _plain(
                Value(f"{self.alias}.{quoted(found.column)}", found.type, found.nullable, filled=found.filled)
            )
        if len(names) == 1 or not self._links().get(names[0]):
            raise unknown(names[0], self.place)
        inner = self.joined(names[0]).value(names[1:])
        return Value(inner.sql, inner.type)

    @property
    def place(self) -> str:
        """What errors call these rows."""
        return self.shape.entity.name if self.shape.entity else "the result of $apply"

    def link(self, name: str) -> Navigation:
        """A navigation property of these rows. Raises RequestError (400)."""
        if name not in self._links():
            raise unknown(name, self.place)
        return self._links()[name]

    def joined(self, name: str) -> Scope:
        """The one row at the end of a navigation property, joined once however often it is named."""
        link = self.link(name)
        if link.many:
            raise wrong(f"{name} leads to many rows", "use any, all or $count")
        if name not in self._joins:
            target = self.target(link)
            self.context.singles.add(link.target)
            one = self.field_of(link.own)
            self._joins[name] = target
            target.joins = self.joins  # what is joined further on comes after it, in one list
            self.joins.append(
                f"LEFT JOIN {target.shape.relation} AS {target.alias} ON {target.field_of(link.other)} = {one}"
            )
        return self._joins[name]

    def target(self, link: Navigation) -> Scope:
        """The rows of the entity set at the end of a navigation property."""
        return Scope(self.context, shape_of(self.context.model.entities[link.target]))

    def field_of(self, name: str) -> str:
        """SQL of a column of these rows."""
        return f"{self.alias}.{quoted(self.shape.fields[name].column)}"

    def walked(self, names: tuple[str, ...]) -> tuple[Scope, Navigation]:
        """For a path to many rows: the scope before its last step, and that step."""
        here = self
        for name in names[:-1]:
            here = here.joined(name)
        link = here.link(names[-1])
        if not link.many:
            raise unsupported(f"any, all or $count on {names[-1]}, which leads to one row,")
        return here, link

    def _links(self) -> dict[str, Navigation]:
        return self.shape.entity.navigations if self.shape.entity else {}


def _plain(value: Value) -> Value:
    """Lists, structs and enums as texts; moments with a zone as moments in UTC."""
    assert value.type
    if value.kind == "text" and not is_plain_text(value.type):
        return replace(value, sql=f"CAST({value.sql} AS VARCHAR)", type=STRING)
    if value.type.sql == "TIMESTAMP WITH TIME ZONE":
        return replace(value, sql=f"({value.sql} AT TIME ZONE 'UTC')", type=MOMENT)
    return value
