"""The path of an address: which rows, which property of them, or how many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from pipeline.feed.odata.expressions import Expressions
from pipeline.feed.odata.grammar import Expressions as Parser
from pipeline.feed.odata.model import Entity, Model, Navigation, Property
from pipeline.feed.odata.refusals import absent, unsupported, wrong
from pipeline.feed.odata.scope import Context, Scope, Shape, shape_of
from pipeline.feed.odata.tokens import Reader
from pipeline.feed.odata.tree import Literal, Node, Operation, Path

_DEEPEST = 10
_NOT_OFFERED = ("$ref", "$crossjoin", "$all", "$entity", "$each", "$query")


@dataclass(frozen=True)
class Step:
    """From one entity set's rows to others: by key, or along a navigation property."""

    key: tuple[Node, ...] = ()
    link: Navigation | None = None


@dataclass(frozen=True)
class Target:
    """What an address means. `many`: rows; else one row, or (with `property`) one of its values."""

    start: Entity
    entity: Entity
    steps: tuple[Step, ...] = ()
    many: bool = True
    property: Property | None = None
    tail: str = ""

    def shape(self, context: Context, steps: int | None = None) -> Shape:
        """The rows, after the first of the steps (default: after all)."""
        shape = shape_of(self.start)
        for step in self.steps[:steps]:
            shape = _by_key(context, shape, step.key) if step.key else _along(context, shape, step.link)
        return shape


def segments_of(path: str) -> list[str]:
    """The parts of a path, decoded after it was cut. Raises RequestError (400) for what is not UTF-8."""
    try:
        parts = [unquote(part, errors="strict") for part in path.split("/") if part]
    except UnicodeDecodeError as error:
        raise wrong("the address is not UTF-8") from error
    if any("\x00" in part for part in parts):
        raise wrong("the address has a character that no text can have")
    return parts


def target_of(model: Model, segments: Sequence[str], aliases: dict[str, str]) -> Target:
    """What the segments mean. Raises RequestError: 404 for what is not there, 400 for keys that are wrong, 501."""
    if len(segments) > _DEEPEST:
        raise wrong("the address has too many parts")
    name, key = _split(segments[0])
    entity = model.entities.get(name)
    if entity is None:
        raise unsupported(name) if name in _NOT_OFFERED else absent(f"there is no table {name[:100]!r}")
    target = Target(entity, entity)
    if key is not None:
        target = _one(target, key, aliases)
    for segment in segments[1:]:
        target = _further(model, target, segment, aliases)
    return target


def _further(model: Model, target: Target, segment: str, aliases: dict[str, str]) -> Target:
    if target.tail:
        raise absent(f"there is nothing behind {target.tail}")
    if segment in _NOT_OFFERED:
        raise unsupported(segment)
    if segment == "$count" and target.many:
        return replace(target, tail=segment)
    if segment == "$value" and target.property is not None:
        return replace(target, tail=segment)
    name, key = _split(segment)
    link = target.entity.navigations.get(name)
    if link is None or target.many or target.property is not None:
        return _property(target, segment)
    found = replace(target, entity=model.entities[link.target], steps=(*target.steps, Step(link=link)), many=link.many)
    return found if key is None else _one(found, key, aliases)


def _property(target: Target, segment: str) -> Target:
    found = target.entity.properties.get(segment)
    if target.many or target.property is not None or found is None:
        raise absent(f"there is no {segment[:100]!r} in {target.entity.name}")
    return replace(target, property=found)


def _split(segment: str) -> tuple[str, str | None]:
    """`orders('O1')` -> (`orders`, `'O1'`)."""
    found = re.fullmatch(r"([^()]+)\((.*)\)", segment, re.DOTALL)
    return (found[1], found[2]) if found else (segment, None)


def _one(target: Target, text: str, aliases: dict[str, str]) -> Target:
    if not target.many:
        raise wrong("one row has no key in parentheses")
    key = tuple(_key(target.entity, text, aliases))
    return replace(target, steps=(*target.steps, Step(key=key)), many=False)


def _key(entity: Entity, text: str, aliases: dict[str, str]) -> list[Node]:
    """The conditions `name eq value`, one for each part of the key."""
    reader = Reader(text, "the key")
    parser, values = Parser(reader, aliases), dict[str, Literal]()
    named = reader.now.kind == "name" and reader.ahead().text == "="
    if not named and len(entity.key) > 1:
        raise wrong(f"the key of {entity.name} is {', '.join(entity.key)}", "give each part as name=value")
    while True:
        name = entity.key[0]
        if named:
            name = reader.name()
            reader.take("=")
        value = parser.expression()
        if name not in entity.key or name in values or not isinstance(value, Literal) or value.type is None:
            raise wrong(f"the key of {entity.name} is {', '.join(entity.key)}", "give one value for each")
        values[name] = value
        if not (named and reader.took(",")):
            break
    reader.finish()
    if len(values) != len(entity.key):
        raise wrong(f"the key of {entity.name} is {', '.join(entity.key)}", "give each part as name=value")
    return [Operation("eq", (Path((name,)), value)) for name, value in values.items()]


def _by_key(context: Context, shape: Shape, key: Sequence[Node]) -> Shape:
    scope = Scope(context, shape)
    where = " AND ".join(Expressions(scope).condition(node) for node in key)
    return replace(shape, relation=f"(SELECT {scope.alias}.* FROM {scope.source} WHERE {where})")


def _along(context: Context, shape: Shape, link: Navigation | None) -> Shape:
    assert link is not None
    before = Scope(context, shape)
    after = Scope(context, shape_of(context.model.entities[link.target]))
    inner = f"SELECT {before.field_of(link.own)} FROM {before.source}"
    relation = f"(SELECT {after.alias}.* FROM {after.source} WHERE {after.field_of(link.other)} IN ({inner}))"
    return replace(after.shape, relation=relation)
