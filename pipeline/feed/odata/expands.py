"""A row's JSON: the properties asked for, and in line what $expand names, to any depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.feed.odata.chosen import conditions, fields_with, rows_with
from pipeline.feed.odata.jsontext import Format, Member, filled_member, json_object, json_text, value_text
from pipeline.feed.odata.model import Entity, Model, Navigation
from pipeline.feed.odata.order import Item, items_of
from pipeline.feed.odata.refusals import unknown, wrong
from pipeline.feed.odata.scope import Scope, Shape
from pipeline.feed.odata.tree import Expand, Options
from pipeline.feed.odata.types import Type
from pipeline.sql import literal, quoted

SCHEMA = "goldfeed"
_QUOTE = '"'
_UNKNOWN = 100  # rows that a row may bring, where the tables do not tell
_TOLD_BY_JSON = ("Edm.String", "Edm.Boolean", "Edm.Double")


def expanded(scope: Scope, options: Options, style: Format, end: str = "") -> str:
    """SQL for the JSON object of each row of the scope, and what stands behind it."""
    members = _members(scope, chosen(scope, options), style)
    for expand in _expands(scope, options):
        members += _expand(scope, expand, style)
    before = _annotations(scope) if style.metadata == "full" else []
    return json_object(members, before, end)


def chosen(scope: Scope, options: Options) -> list[str]:
    """The names of the properties to show, in the order of the table. Raises RequestError (400) for unknown ones."""
    shown = [*_shown(scope.shape), *scope.computed]
    if options.select is None:
        return shown
    links = scope.shape.entity.navigations if scope.shape.entity else {}
    for name in options.select:
        if name != "*" and name not in shown and name not in links:
            raise unknown(name, scope.place)
    return [name for name in shown if name in options.select or "*" in options.select]


def _shown(shape: Shape) -> list[str]:
    return [name for name in shape.fields if not name.startswith(" ")]


def _members(scope: Scope, names: Sequence[str], style: Format) -> list[Member]:
    found, groups = list[Member](), dict[str, list[str]]()
    for name in names:
        if "/" in name:
            groups.setdefault(name.partition("/")[0], []).append(name)
            continue
        found += _typed_member(name, scope, style)
    for first, whole in groups.items():
        found.append(Member(first, _nested(scope, whole, 1, style), nullable=False))
    return found


def _typed_member(name: str, scope: Scope, style: Format) -> list[Member]:
    value = scope.value((name,))
    assert value.type
    member = (
        filled_member(name, value.sql, value.type, style)
        if value.filled
        else Member(name, json_text(value.sql, value.type, style), value.nullable or _may_be_infinite(value.type))
    )
    if style.metadata == "full" and value.type.name not in _TOLD_BY_JSON:
        kind = literal(f'"#{value.type.name.removeprefix("Edm.")}"')
        return [Member(f"{name}@odata.type", kind, nullable=False), member]
    return [member]


def _may_be_infinite(kind: Type) -> bool:
    return kind.kind in ("date", "moment")


def _nested(scope: Scope, names: Sequence[str], depth: int, style: Format) -> str:
    """Names with slashes, from groupby along navigation properties, as objects in objects."""
    members, groups = list[Member](), dict[str, list[str]]()
    for name in names:
        parts = name.split("/")
        if len(parts) > depth + 1:
            groups.setdefault(parts[depth], []).append(name)
            continue
        found = scope.shape.fields[name]
        members.append(Member(parts[depth], json_text(f"{scope.alias}.{quoted(found.column)}", found.type, style)))
    members += [Member(first, _nested(scope, whole, depth + 1, style), False) for first, whole in groups.items()]
    return json_object(members)


# ---------------------------------------------------------------- navigation
def _expands(scope: Scope, options: Options) -> list[Expand]:
    found: dict[str, Expand] = {}
    for expand in options.expand:
        names = (
            [*(scope.shape.entity.navigations if scope.shape.entity else {})] if expand.name == "*" else [expand.name]
        )
        for name in names:
            if name in found and expand.name != "*":
                raise wrong(f"$expand names {name[:60]} twice")
            found.setdefault(name, replace(expand, name=name))
    return list(found.values())


def _expand(scope: Scope, expand: Expand, style: Format) -> list[Member]:
    link = scope.link(expand.name)
    return _many(scope, link, expand.options, style) if link.many else [_one(scope, link, expand.options, style)]


def rows_brought(model: Model, entity: Entity, options: Options) -> int:
    """About how many rows each row brings with it by $expand; 0 where it leads to single rows only."""
    names = {expand.name: expand.options for expand in options.expand}
    if "*" in names:
        names = {name: names.get(name, Options()) for name in entity.navigations}
    found = 0
    for name, inner in names.items():
        link = entity.navigations.get(name)
        if link is not None:
            target = model.entities[link.target]
            further = rows_brought(model, target, inner)
            found += _many_of(entity, target) * (1 + further) if link.many else further
    return found


def _many_of(entity: Entity, target: Entity) -> int:
    if target.rows < 0 or entity.rows < 1:
        return _UNKNOWN
    return max(1, target.rows // entity.rows)


def _one(scope: Scope, link: Navigation, options: Options, style: Format) -> Member:
    """The row at the other end, or null: also where the filter leaves it out."""
    if options.order or options.top is not None or options.skip or options.count:
        raise wrong(f"{link.name} leads to one row, which cannot be ordered, cut or counted")
    scope.context.singles.add(link.target)
    page, _ = _page(scope, link, options)
    json = expanded(page, replace(options, compute=()), style)
    return Member(link.name, f"(SELECT any_value({json}) FROM {page.source})")


def _many(scope: Scope, link: Navigation, options: Options, style: Format) -> list[Member]:
    """The rows at the other end as an array, and before it their number if it is asked for."""
    found = list[Member]()
    if options.count:
        target = scope.target(link)
        where = " AND ".join([_meets(scope, target, link), *conditions(target, options)])
        count = f"coalesce((SELECT count(*) FROM {target.source} WHERE {where}), 0)"
        found.append(Member(f"{link.name}@odata.count", f"CAST({count} AS VARCHAR)", nullable=False))
    page, items = _page(scope, link, options)
    json = expanded(page, replace(options, compute=()), style)
    order = ", ".join(item.by(f"{page.alias}.{quoted(f' {number}')}") for number, item in enumerate(items))
    rows = f"(SELECT string_agg({json}, ',' ORDER BY {order}) FROM {page.source})"
    return [*found, Member(link.name, f"concat('[', coalesce({rows}, ''), ']')", nullable=False)]


def _page(scope: Scope, link: Navigation, options: Options) -> tuple[Scope, list[Item]]:
    """The rows at the other end that the options leave, and what they are ordered by."""
    target = scope.target(link)
    where = [_meets(scope, target, link), *conditions(target, options)]
    items = items_of(target, options.order, target.shape.key)
    sql = f"{rows_with(target, items)} WHERE {' AND '.join(where)}"
    if options.top is not None or options.skip:
        sql += f" ORDER BY {', '.join(item.by() for item in items)}"
        sql += f" LIMIT {options.top}" if options.top is not None else ""
        sql += f" OFFSET {options.skip}"
    return Scope(scope.context, Shape(f"({sql})", fields_with(target), (), target.shape.entity)), items


def _meets(scope: Scope, target: Scope, link: Navigation) -> str:
    return f"{target.field_of(link.other)} = {scope.field_of(link.own)}"


# ---------------------------------------------------------------- metadata=full
def _annotations(scope: Scope) -> list[str]:
    """`@odata.type`, `@odata.id` and the navigation links of a row, as SQL of texts."""
    entity = scope.shape.entity
    if entity is None or any(name not in scope.shape.fields for name in entity.key):
        return []
    place = f"concat({literal(entity.name + '(')}, {key_text(scope, entity)}, ')')"
    kind = literal(f'"@odata.type":"#{SCHEMA}.{entity.name}"')
    links = [
        f"concat({literal(_quoted(name + '@odata.navigationLink') + ':' + _QUOTE)}, {place}, {literal(f'/{name}{_QUOTE}')})"
        for name in entity.navigations
    ]
    return [kind, f"concat('\"@odata.id\":\"', {place}, '\"')", *links]


def _quoted(name: str) -> str:
    return f"{_QUOTE}{name}{_QUOTE}"


def key_text(scope: Scope, entity: Entity) -> str:
    """SQL for what stands in the parentheses of a row's address, encoded for it."""
    texts = {name: _key_value(scope.field_of(name), entity.properties[name].type) for name in entity.key}
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "concat(" + ", ',', ".join(f"{literal(name + '=')}, {text}" for name, text in texts.items()) + ")"


def _key_value(sql: str, kind: Type) -> str:
    text = value_text(sql, kind)
    if kind.kind == "text":
        return f"concat('''', url_encode(replace({text}, '''', '''''')), '''')"
    return f"url_encode({text})"
