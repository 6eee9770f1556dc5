"""$apply: filter, compute, groupby and aggregate, one after the other."""

from __future__ import annotations

from dataclasses import replace

from pipeline.feed.odata.expressions import Expressions as Maker
from pipeline.feed.odata.grammar import Expressions
from pipeline.feed.odata.refusals import unsupported, wrong
from pipeline.feed.odata.scope import Context, Field, Scope, Shape, Value
from pipeline.feed.odata.tokens import Reader
from pipeline.feed.odata.tree import Aggregate, Node, Path, Step
from pipeline.feed.odata.types import DOUBLE, INT64, Type, is_float, is_integer
from pipeline.sql import quoted

_METHODS = ("sum", "min", "max", "average", "countdistinct")
_KNOWN = {
    "concat", "identity", "topcount", "topsum", "toppercent", "bottomcount", "bottomsum", "bottompercent", "expand",
    "search", "orderby", "skip", "top", "nest", "join", "outerjoin", "addnested", "ancestors", "descendants", "traverse",
}  # fmt: skip
_MOST = 20


# ---------------------------------------------------------------- reading
def steps_of(text: str, aliases: dict[str, str]) -> list[Step]:
    """Raises RequestError: 400 where it is wrong, 501 for transformations that are not offered."""
    reader = Reader(text, "$apply")
    expressions, found = Expressions(reader, aliases), list[Step]()
    while True:
        found.append(_step(expressions))
        if not reader.took("/"):
            break
    reader.finish()
    if len(found) > _MOST:
        raise wrong(f"$apply has more than {_MOST} transformations")
    return found


def _step(expressions: Expressions) -> Step:
    reader = expressions.reader
    name = reader.name()
    if name not in ("filter", "compute", "groupby", "aggregate"):
        raise unsupported(f"{name} in $apply") if name in _KNOWN else wrong(f"$apply has {name[:60]!r}")
    reader.take("(")
    match name:
        case "filter":
            step = Step(name, filter=expressions.expression())
        case "compute":
            step = Step(name, compute=tuple(computed(expressions)))
        case "groupby":
            step = _groupby(expressions)
        case _:
            step = Step(name, aggregates=tuple(_aggregates(expressions)))
    reader.take(")")
    return step


def computed(expressions: Expressions) -> list[tuple[str, Node]]:
    """`expression as name`, several."""
    found = list[tuple[str, Node]]()
    while True:
        node = expressions.expression()
        expressions.reader.take("as")
        found.append((expressions.reader.name(), node))
        if not expressions.reader.took(","):
            return found


def _groupby(expressions: Expressions) -> Step:
    reader = expressions.reader
    reader.take("(")
    groups = list[Path]()
    while True:
        if reader.now.text == "rollup":
            raise unsupported("rollup in $apply")
        names = [reader.name()]
        while reader.took("/"):
            names.append(reader.name())
        groups.append(Path(tuple(names)))
        if not reader.took(","):
            break
    reader.take(")")
    if not reader.took(","):
        return Step("groupby", groups=tuple(groups))
    if reader.now.text != "aggregate":
        raise unsupported(f"{reader.name()} in groupby")
    inner = _step(expressions)
    if reader.now.text == "/":
        raise unsupported("more than aggregate in groupby")
    return replace(inner, name="groupby", groups=tuple(groups))


def _aggregates(expressions: Expressions) -> list[Aggregate]:
    reader, found = expressions.reader, list[Aggregate]()
    while True:
        if reader.took("$count"):
            reader.take("as")
            found.append(Aggregate(None, "count", reader.name()))
        else:
            node = expressions.expression()
            if isinstance(node, Path) and node.tail:
                raise unsupported("a path to $count in aggregate")
            found.append(_with_method(reader, node))
        if not reader.took(","):
            return found


def _with_method(reader: Reader, node: Node) -> Aggregate:
    reader.take("with")
    method = reader.name()
    if method not in _METHODS:
        raise unsupported(f"the method {method[:60]} in aggregate")
    if reader.now.text == "from":
        raise unsupported("from in aggregate")
    reader.take("as")
    return Aggregate(node, method, reader.name())


# ---------------------------------------------------------------- making SQL
def applied(context: Context, shape: Shape, steps: tuple[Step, ...]) -> Shape:
    """What the transformations make of the rows."""
    for step in steps:
        shape = _APPLY[step.name](context, shape, step)
    return shape


def _filtered(context: Context, shape: Shape, step: Step) -> Shape:
    assert step.filter is not None
    scope = Scope(context, shape)
    condition = Maker(scope).condition(step.filter)
    return replace(shape, relation=f"(SELECT {scope.alias}.* FROM {scope.source} WHERE {condition})")


def _widened(context: Context, shape: Shape, step: Step) -> Shape:
    scope, fields = Scope(context, shape), dict(shape.fields)
    maker, columns = Maker(scope), list[str]()
    for alias, node in step.compute:
        if alias in fields:
            raise wrong(f"the name {alias[:60]!r} is taken")
        value = maker.value(node)
        scope.computed[alias] = value
        fields[alias] = Field(alias, _type(value), value.nullable)
        columns.append(f"{value.sql} AS {quoted(alias)}")
    relation = f"(SELECT {scope.alias}.*, {', '.join(columns)} FROM {scope.source})"
    return replace(shape, relation=relation, fields=fields)


def _grouped(context: Context, shape: Shape, step: Step) -> Shape:
    scope, fields = Scope(context, shape), dict[str, Field]()
    columns, groups = list[str](), list[str]()
    for path in step.groups:
        name = "/".join(path.names)
        value = scope.value(path.names)
        _new(fields, name, _type(value))
        groups.append(value.sql)
        columns.append(f"{value.sql} AS {quoted(name)}")
    key = tuple(fields)
    for aggregate in step.aggregates:
        sql, kind = _aggregate(scope, aggregate)
        _new(fields, aggregate.alias, kind)
        columns.append(f"{sql} AS {quoted(aggregate.alias)}")
    by = f" GROUP BY {', '.join(groups)}" if groups else ""
    return Shape(f"(SELECT {', '.join(columns)} FROM {scope.source}{by})", fields, key)


def _new(fields: dict[str, Field], name: str, kind: Type) -> None:
    clash = any(name.startswith(f"{other}/") or other.startswith(f"{name}/") for other in fields)
    if name in fields or clash:
        raise wrong(f"the name {name[:60]!r} is taken")
    fields[name] = Field(name, kind)


def _aggregate(scope: Scope, aggregate: Aggregate) -> tuple[str, Type]:
    if aggregate.node is None:
        return "count(*)", INT64
    value = Maker(scope).value(aggregate.node)
    kind = _type(value)
    if aggregate.method == "countdistinct":
        nulls = f" + CAST(count(*) > count({value.sql}) AS BIGINT)" if value.nullable else ""
        return f"(count(DISTINCT {value.sql}){nulls})", INT64
    if aggregate.method in ("min", "max"):
        if kind.kind in ("binary", "span"):
            raise unsupported(f"{aggregate.method} of {kind.name}")
        return f"{aggregate.method}({value.sql})", kind
    if kind.kind != "number":
        raise wrong(f"{aggregate.method} takes a number, not {kind.kind}")
    if aggregate.method == "average":
        return f"avg({value.sql})", DOUBLE
    return f"sum({value.sql})" if not is_integer(kind) else f"CAST(sum({value.sql}) AS BIGINT)", _sum(kind)


def _sum(kind: Type) -> Type:
    if is_float(kind):
        return DOUBLE
    return INT64 if is_integer(kind) else Type("Edm.Decimal", "DECIMAL(38)", None, kind.scale)


def _type(value: Value) -> Type:
    if value.type is None:
        raise unsupported("a column of nothing but null")
    return value.type


_APPLY = {"filter": _filtered, "compute": _widened, "groupby": _grouped, "aggregate": _grouped}
