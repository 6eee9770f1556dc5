"""The catalog as OData sees it: entity sets with their keys, properties and navigation properties."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pipeline.feed.catalog import Catalog, Column, Table
from pipeline.feed.odata.types import INT64, Type, edm_of, may_be_key
from pipeline.sql import quoted

_NUMBERED = "(SELECT row_number() OVER () AS "
ORDINAL = "_row"  # the key of a table without one: the number of the row in this version


@dataclass(frozen=True)
class Property:
    """A column: `name` is what readers call it, `column` what DuckDB does; `filled`: no null, no infinite date in it now."""

    name: str
    column: str
    type: Type
    nullable: bool = True
    description: str = ""
    filled: bool = False


@dataclass(frozen=True)
class Navigation:
    """From `own` (a property) to `other`, a property of the entity set `target`; `many`: to any number of rows."""

    name: str
    target: str
    many: bool
    own: str
    other: str
    partner: str = ""


@dataclass(frozen=True)
class Entity:
    """An entity set and its type. `relation` is SQL to select from: what this reader may see, and nothing else."""

    name: str
    relation: str
    key: tuple[str, ...]
    properties: dict[str, Property]
    description: str = ""
    navigations: dict[str, Navigation] = field(default_factory=dict)
    numbered: bool = False
    given: bool = False  # its rows are values of the statement
    limited: bool = False  # some of its rows may not be seen
    rows: int = -1  # below 0 where it is not known

    @property
    def singles(self) -> list[Navigation]:
        return [link for link in self.navigations.values() if not link.many]


@dataclass(frozen=True)
class Model:
    """All entity sets of a version that a reader may see."""

    version: str
    published_at: str
    entities: dict[str, Entity]


def model_of(catalog: Catalog) -> Model:
    """Entity sets by name, linked by the foreign keys of which both ends can be seen."""
    entities = {entity.name: entity for entity in map(entity_of, catalog.tables.values())}
    return Model(catalog.version, catalog.published_at, _linked(entities, catalog))


def entity_of(table: Table) -> Entity:
    """One table. Without a key that OData allows and this reader sees whole, the rows are numbered."""
    properties = _properties(table.columns)
    by_column = {found.column: found for found in properties.values()}
    key = tuple(by_column[name].name for name in table.key if name in by_column)
    entity = Entity(
        _identifier(table.name), table.relation, key, properties, table.description,
        limited=table.condition is not None, rows=table.rows,
    )  # fmt: skip
    if key and len(key) == len(table.key) and all(may_be_key(properties[name].type) for name in key):
        return entity
    return _with_numbers(entity)


def _with_numbers(entity: Entity) -> Entity:
    number = Property(ORDINAL, ORDINAL, INT64, nullable=False, description="Number of the row in this version")
    relation = numbered(entity.relation, ORDINAL)
    properties = {ORDINAL: number, **{name: found for name, found in entity.properties.items() if name != ORDINAL}}
    return replace(entity, relation=relation, key=(ORDINAL,), properties=properties, numbered=True)


def numbered(relation: str, name: str) -> str:
    """SQL for the rows in the order of the file, each with its number."""
    return f"{_NUMBERED}{quoted(name)}, * FROM {relation})"


def numbered_from(sql: str) -> str:
    """The rows that were numbered, or the SQL itself."""
    return sql.partition(", * FROM ")[2] if sql.startswith(_NUMBERED) else sql


def _properties(columns: Iterable[Column]) -> dict[str, Property]:
    found: dict[str, Property] = {}
    for column in columns:
        name = _identifier(column.name)
        while name in found:
            name += "_"
        found[name] = Property(
            name, column.name, edm_of(column.type), column.nullable, column.description, column.filled
        )
    return found


def _identifier(name: str) -> str:
    """The name itself where OData allows it; other characters as `_x0020_`."""
    plain = re.sub(r"\W", lambda match: f"_x{ord(match[0]):04X}_", name)
    return plain if re.match(r"[^\W\d]", plain) else f"_{plain}"


@dataclass(frozen=True)
class _Key:
    """A foreign key: from a property of one entity set to the only key of another."""

    source: str
    own: str
    target: str
    other: str


def _linked(entities: dict[str, Entity], catalog: Catalog) -> dict[str, Entity]:
    keys = [key for table in catalog.tables.values() for key in _keys(table, entities)]
    ways = Counter((key.source, key.target) for key in keys)
    links: dict[str, list[Navigation]] = {name: [] for name in entities}
    for key in keys:
        alone = ways[key.source, key.target] == 1 and key.source != key.target
        there = _free(key.target if alone else f"{key.target}_by_{key.own}", entities[key.source], links[key.source])
        back = _free(key.source if alone else f"{key.source}_by_{key.own}", entities[key.target], links[key.target])
        if key.source == key.target:
            back = f"{back}_back"
        links[key.source].append(Navigation(there, key.target, False, key.own, key.other, back))
        links[key.target].append(Navigation(back, key.source, True, key.other, key.own, there))
    return {
        name: replace(entity, navigations={link.name: link for link in links[name]})
        for name, entity in entities.items()
    }


def _keys(table: Table, entities: dict[str, Entity]) -> list[_Key]:
    """The foreign keys that lead to a whole key: only then there is one row at the other end."""
    source, found = entities[_identifier(table.name)], list[_Key]()
    for column, (other, target) in table.foreign_keys.items():
        end = entities[_identifier(other)]
        own = next(item for item in source.properties.values() if item.column == column)
        there = next(item for item in end.properties.values() if item.column == target)
        if end.key == (there.name,) and own.type.kind == there.type.kind:
            found.append(_Key(source.name, own.name, end.name, there.name))
    return found


def _free(name: str, entity: Entity, links: list[Navigation]) -> str:
    taken = {*entity.properties, *(link.name for link in links)}
    while name in taken:
        name += "_"
    return name
