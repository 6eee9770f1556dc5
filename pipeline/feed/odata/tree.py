"""What the parser makes of an expression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.feed.odata.types import Type


@dataclass(frozen=True)
class Literal:
    """A value as Python has it; `type` is None for null."""

    value: Any
    type: Type | None


@dataclass(frozen=True)
class Path:
    """Names from the row (or from a lambda's variable) on; `tail` is `$count` for the number of what is at its end."""

    names: tuple[str, ...]
    tail: str = ""


@dataclass(frozen=True)
class Operation:
    """eq ne gt ge lt le, add sub mul div divby mod, and or (of two and more), not, minus."""

    name: str
    operands: tuple[Node, ...]


@dataclass(frozen=True)
class Call:
    """A function and its arguments."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class TypeName:
    """`Edm.Int32`, as an argument of cast and isof."""

    name: str


@dataclass(frozen=True)
class Choice:
    """`operand in (items)`."""

    operand: Node
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Lambda:
    """`path/any(variable: condition)`; without condition: whether there is any."""

    path: Path
    name: str
    variable: str
    condition: Node | None


Node = Literal | Path | Operation | Call | TypeName | Choice | Lambda


@dataclass(frozen=True)
class Sort:
    """One item of $orderby."""

    node: Node
    descending: bool = False


@dataclass(frozen=True)
class Options:
    """The query options of one level: of the address, or of an expanded navigation property."""

    filter: Node | None = None
    order: tuple[Sort, ...] = ()
    select: tuple[str, ...] | None = None
    expand: tuple[Expand, ...] = ()
    compute: tuple[tuple[str, Node], ...] = ()
    search: Search | None = None
    top: int | None = None
    skip: int = 0
    count: bool = False


@dataclass(frozen=True)
class Expand:
    """A navigation property to show in line; `*` stands for all."""

    name: str
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Search:
    """A term to be found (`name` is `term`), or and, or, not of such."""

    name: str
    term: str = ""
    parts: tuple[Search, ...] = ()


@dataclass(frozen=True)
class Aggregate:
    """`node with method as alias`; for `$count as alias` the node is None."""

    node: Node | None
    method: str
    alias: str


@dataclass(frozen=True)
class Step:
    """One transformation of $apply: filter, compute, groupby or aggregate."""

    name: str
    filter: Node | None = None
    compute: tuple[tuple[str, Node], ...] = ()
    groups: tuple[Path, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
