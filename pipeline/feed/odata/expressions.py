"""From what the parser made to SQL: typed by the catalog, every value bound."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.feed.odata.comparisons import compared
from pipeline.feed.odata.functions import FUNCTIONS, KNOWN_ELSEWHERE, NAMES, TARGETS, cast_sql
from pipeline.feed.odata.model import Navigation
from pipeline.feed.odata.refusals import unsupported, wrong
from pipeline.feed.odata.scope import Scope, Value
from pipeline.feed.odata.tree import Call, Choice, Lambda, Literal, Node, Operation, Path, TypeName
from pipeline.feed.odata.types import BOOLEAN, DOUBLE, INT64, MOMENT, Type, is_float, is_integer

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "divby": "/", "mod": "%"}
_COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le")
_DECIMAL = Type("Edm.Decimal", "DECIMAL(38,6)")


class Expressions:
    """Makes SQL of expressions over the rows of one scope; `variables` are those of the lambdas around."""

    def __init__(self, scope: Scope, variables: Mapping[str, Scope] | None = None) -> None:
        self.scope, self.context = scope, scope.context
        self._variables = dict(variables or {})

    def condition(self, node: Node) -> str:
        """SQL for a condition of WHERE: null is as good as false."""
        return self._truth(node, loose=True).sql

    def value(self, node: Node) -> Value:
        """SQL for a value. Raises RequestError: 400 for what makes no sense, 501 for what is not offered."""
        return self._value(node, loose=False)

    def _value(self, node: Node, loose: bool) -> Value:
        match node:
            case Literal():
                return self._literal(node)
            case Path():
                return self._path(node)
            case Operation():
                return self._operation(node, loose)
            case Call():
                return self._call(node)
            case Choice():
                return self._choice(node)
            case Lambda():
                return self._lambda(node)
            case TypeName():
                raise wrong(f"the type {node.name[:60]} is not a value")

    def _truth(self, node: Node, loose: bool) -> Value:
        value = self._value(node, loose)
        if value.kind not in ("truth", "null"):
            raise wrong(f"{value.kind} stands where true or false is needed", "put comparisons in parentheses")
        return value

    def _literal(self, node: Literal) -> Value:
        if node.type is None:
            return Value("NULL", None)
        place = self.context.bind(node.value)
        return Value(place, node.type, nullable=False, constant=node.value)

    def _path(self, node: Path) -> Value:
        if node.tail:
            scope, link = self._walked(node)
            inner = scope.target(link)
            sql = f"(SELECT count(*) FROM {inner.source} WHERE {_meets(scope, inner, link)})"
            return Value(f"coalesce({sql}, 0)", INT64, nullable=False)
        scope, names = self._start(node.names)
        if not names:
            raise wrong(f"{node.names[0][:60]} is a row, not a value", "name one of its properties")
        return scope.value(names)

    def _start(self, names: tuple[str, ...]) -> tuple[Scope, tuple[str, ...]]:
        variable = self._variables.get(names[0])
        return (variable, names[1:]) if variable else (self.scope, names)

    def _walked(self, node: Path) -> tuple[Scope, Navigation]:
        scope, names = self._start(node.names)
        if not names:
            raise wrong(f"{node.names[0][:60]} is one row")
        return scope.walked(names)

    # ------------------------------------------------------------ operators
    def _operation(self, node: Operation, loose: bool) -> Value:
        if node.name in ("and", "or"):
            parts = [self._truth(part, loose) for part in node.operands]
            sql = f" {node.name.upper()} ".join(part.sql for part in parts)
            return Value(f"({sql})", BOOLEAN, any(part.nullable for part in parts))
        if node.name == "not":
            inner = self._truth(node.operands[0], loose=False)
            return Value(f"(NOT {inner.sql})", BOOLEAN, inner.nullable)
        if node.name == "minus":
            return self._minus(node.operands[0])
        left, right = (self.value(part) for part in node.operands)
        if node.name in _COMPARISONS:
            return compared(self.context, node.name, left, right, loose)
        return self._arithmetic(node.name, left, right)

    def _minus(self, node: Node) -> Value:
        value = self.value(node)
        if value.kind == "null":
            return value
        if value.kind == "span":
            return self._failing(f"(-{value.sql})", value.type, value.nullable)
        return self._failing(f"(-{_wide(value)})", _result(value, value), value.nullable)

    def _arithmetic(self, name: str, left: Value, right: Value) -> Value:
        if "null" in (left.kind, right.kind):
            return Value("NULL", None)
        if (left.kind, right.kind) != ("number", "number"):
            return self._with_time(name, left, right)
        kind, one, other = _result(left, right), _wide(left), _wide(right)
        whole = kind is INT64
        if name in ("div", "divby") and not whole:
            one, other, kind = f"CAST({one} AS DOUBLE)", f"CAST({other} AS DOUBLE)", DOUBLE
        if name == "divby" and whole:
            one, kind, whole = f"CAST({one} AS DOUBLE)", DOUBLE, False
        if name in ("div", "divby", "mod") and kind is not DOUBLE and right.known and right.constant == 0:
            raise wrong("a number is divided by zero")
        sign = "//" if whole and name == "div" else _SIGNS[name]
        return self._failing(f"({one} {sign} {other})", kind, left.nullable or right.nullable)

    def _failing(self, sql: str, kind: Type | None, nullable: bool) -> Value:
        safe = self.context.safe(sql)
        return Value(safe, kind, nullable or safe != sql)

    def _with_time(self, name: str, left: Value, right: Value) -> Value:
        """Dates and moments with durations."""
        kinds = (left.kind, right.kind)
        nullable = left.nullable or right.nullable
        if name in ("add", "sub") and kinds in (("moment", "span"), ("date", "span"), ("span", "span")):
            kind = left.type if left.kind != "date" else MOMENT
            return self._failing(f"({left.sql} {_SIGNS[name]} {right.sql})", kind, nullable)
        raise (
            unsupported(f"{name} of {left.kind} and {right.kind}")
            if {"span", "date", "moment"} & set(kinds)
            else wrong(f"{left.kind} and {right.kind} cannot be calculated with", "calculate with numbers")
        )

    def _choice(self, node: Choice) -> Value:
        """`in`: as eq with one item after the other; null among them is null's place."""
        operand = self.value(node.operand)
        items = [self.value(item) for item in node.items]
        whole = [
            item for item in items if item.known and item.kind == operand.kind and operand.kind in ("number", "text")
        ]
        plain = [item for item in whole if not (item.type and is_float(item.type))]
        if operand.type is None or is_float(operand.type):
            plain = []
        parts = [compared(self.context, "eq", operand, item, loose=False).sql for item in items if item not in plain]
        if plain:
            parts.append(f"coalesce({operand.sql} IN ({', '.join(item.sql for item in plain)}), false)")
        return Value(f"({' OR '.join(parts)})", BOOLEAN, nullable=False)

    def _lambda(self, node: Lambda) -> Value:
        scope, link = self._walked(node.path)
        inner = scope.target(link)
        condition = ""
        if node.condition is not None:
            if node.variable in self._variables:
                raise wrong(f"the variable {node.variable[:40]} is taken")
            deeper = Expressions(self.scope, {**self._variables, node.variable: inner})
            condition = deeper._truth(node.condition, loose=node.name == "any").sql
        meets = _meets(scope, inner, link)
        if node.name == "all":
            return Value(
                f"(NOT EXISTS (SELECT 1 FROM {inner.source} WHERE {meets} AND NOT coalesce({condition}, false)))",
                BOOLEAN, nullable=False,
            )  # fmt: skip
        also = f" AND {condition}" if condition else ""
        return Value(f"(EXISTS (SELECT 1 FROM {inner.source} WHERE {meets}{also}))", BOOLEAN, nullable=False)

    # ------------------------------------------------------------ functions
    def _call(self, node: Call) -> Value:
        if node.name in ("cast", "isof"):
            return self._typed(node)
        if node.name == "now" and not node.arguments:
            return Value(self.context.bind(self.context.now), MOMENT, nullable=False, constant=self.context.now)
        function = FUNCTIONS.get((node.name, len(node.arguments)))
        if function is None:
            raise _no_function(node)
        values = [self.value(argument) for argument in node.arguments]
        for value, kinds in zip(values, function.takes, strict=True):
            if value.kind not in (*kinds, "null"):
                raise wrong(f"{node.name} takes {' or '.join(kinds)}, not {value.kind}")
        if any(value.kind == "null" for value in values):
            return Value("NULL", None)
        if function.gives is None:
            return _rounded(values[0], function.sql)
        sql = function.sql.format(*(value.sql for value in values))
        nullable = any(value.nullable for value in values)
        return self._failing(sql, function.gives, nullable) if "CAST(" in sql else Value(sql, function.gives, nullable)

    def _typed(self, node: Call) -> Value:
        *rest, kind = node.arguments or (None,)
        if not isinstance(kind, TypeName) or len(rest) > 1:
            raise wrong(f"{node.name} takes a value and a type, such as Edm.Int32")
        if not rest or rest[0] is None:
            raise unsupported(f"{node.name} of the row itself")
        value, target = self.value(rest[0]), TARGETS.get(kind.name)
        if node.name == "isof":
            same = value.type is not None and value.type.name == kind.name
            return Value(f"({value.sql} IS NOT NULL)" if same else "false", BOOLEAN, nullable=False)
        if target is None:
            raise unsupported(f"cast to {kind.name[:60]}")
        if value.type is None:
            return Value("NULL", target)
        sql = cast_sql(value.sql, value.type, target, self.context.bind)
        if sql is None:
            raise unsupported(f"cast of {value.type.name} to {target.name}")
        return Value(sql, target)


def _meets(scope: Scope, inner: Scope, link: Navigation) -> str:
    """The rows at the end of a navigation property that belong to the row at its beginning."""
    return f"{inner.field_of(link.other)} = {scope.field_of(link.own)}"


def _wide(value: Value) -> str:
    """Integers calculate in 64 bits, as the protocol has it."""
    if value.type and is_integer(value.type) and value.type.sql != "BIGINT":
        return f"CAST({value.sql} AS BIGINT)"
    return value.sql


def _result(left: Value, right: Value) -> Type:
    """The type of a sum or a product."""
    kinds = [value.type for value in (left, right) if value.type]
    if any(value.kind != "number" for value in (left, right)):
        raise wrong(f"{left.kind} and {right.kind} cannot be calculated with", "calculate with numbers")
    if any(is_float(kind) for kind in kinds):
        return DOUBLE
    return INT64 if all(is_integer(kind) for kind in kinds) else _DECIMAL


def _rounded(value: Value, sql: str) -> Value:
    if value.type and is_integer(value.type):
        return value
    return Value(sql.format(value.sql), value.type, value.nullable)


def _no_function(node: Call) -> Exception:
    name = node.name[:60]
    if node.name in NAMES and node.name not in KNOWN_ELSEWHERE:
        return wrong(f"{name} does not take {len(node.arguments)} arguments")
    if node.name in KNOWN_ELSEWHERE or node.name.startswith(("geo.", "Edm.")):
        return unsupported(f"the function {name} with {len(node.arguments)} arguments")
    return unsupported(f"the function {name}")
