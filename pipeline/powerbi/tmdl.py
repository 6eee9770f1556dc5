"""Tabular Model Definition Language: objects as nodes, written with tabs as Power BI Desktop writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.powerbi.names import dax_text


@dataclass(frozen=True)
class Node:
    """An object. `head` is its first line without the expression; properties are (name, value), True is a flag."""

    head: str
    properties: Sequence[tuple[str, str | bool | None]] = ()
    children: Sequence[Node] = field(default_factory=tuple)
    description: str = ""
    expression: str | None = None


def written(*nodes: Node) -> str:
    """The text of a file, lines ended by LF."""
    return "\n".join("\n".join(_lines(node, 0)) + "\n" for node in nodes)


def _lines(node: Node, depth: int) -> Iterator[str]:
    tabs = "\t" * depth
    for line in node.description.splitlines():
        yield f"{tabs}/// {line.strip()}".rstrip()
    yield from _headed(node, depth)
    for name, value in node.properties:
        if value is True:
            yield f"{tabs}\t{name}"
        elif value not in (None, False, ""):
            yield from _property(name, _quoted(str(value)), depth + 1)
    for child in node.children:
        yield ""
        yield from _lines(child, depth + 1)


def _headed(node: Node, depth: int) -> Iterator[str]:
    """The head; an expression stands on its line, or below it, deeper than the properties, if it has several lines."""
    tabs = "\t" * depth
    if node.expression is None:
        yield f"{tabs}{node.head}"
    elif "\n" not in node.expression:
        yield f"{tabs}{node.head} = {node.expression}"
    else:
        yield f"{tabs}{node.head} ="
        yield from _indented(node.expression, depth + 2)


def _quoted(value: str) -> str:
    """A value that stands between quotes, or between blanks, would lose them; quotes inside are doubled."""
    plain = value == value.strip() and not (value.startswith('"') and value.endswith('"'))
    return value if plain or "\n" in value else dax_text(value)


def _property(name: str, value: str, depth: int) -> Iterator[str]:
    tabs = "\t" * depth
    if "\n" not in value:
        yield f"{tabs}{name}: {value}" if not name.endswith("=") else f"{tabs}{name} {value}"
    else:
        yield f"{tabs}{name}" if name.endswith("=") else f"{tabs}{name} ="
        yield from _indented(value, depth + 2)


def _indented(text: str, depth: int) -> Iterator[str]:
    for line in text.splitlines():
        yield "\t" * depth + line if line.strip() else ""
