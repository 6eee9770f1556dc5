"""TMDL read back as plain objects, by a reader of its own: the laws are asked of what is written, not of the writer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Item:
    """An object: `column 'Order ID'` has kind `column` and name `Order ID`."""

    kind: str
    name: str
    properties: dict[str, str] = field(default_factory=dict)
    children: list[Item] = field(default_factory=list)
    expression: str = ""
    body: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Item]:
        return [child for child in self.children if child.kind == kind]


KINDS = (
    "database|model|table|column|measure|hierarchy|level|partition|refreshPolicy|expression|relationship|annotation|ref|role|"
    "tablePermission|perspective|perspectiveTable|perspectiveColumn|perspectiveMeasure|perspectiveHierarchy|dataAccessOptions"
)
HEAD = re.compile(rf"^(?P<kind>{KINDS})(?: (?P<name>'(?:[^']|'')+'|[^=\s][^=]*?))?(?:\s*=\s*(?P<rest>.*))?$")
PLACE = re.compile(r"('(?:[^']|'')+'|\w+)\.('(?:[^']|'')+'|\w+)")


def plain(name: str) -> str:
    """The name without its quotes."""
    return name[1:-1].replace("''", "'") if name.startswith("'") else name


def read(text: str) -> list[Item]:
    """The objects of one file."""
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("///")]
    return _items(lines, 0)


def _items(lines: list[str], depth: int) -> list[Item]:
    found: list[Item] = []
    for line in lines:
        level = len(line) - len(line.lstrip("\t"))
        assert level >= depth, line
        if level == depth:
            match = HEAD.match(line.strip())
            assert match, f"no object: {line!r}"
            found.append(Item(match["kind"], plain((match["name"] or "").strip()), expression=match["rest"] or ""))
        else:
            found[-1].body.append(line)
    for item in found:
        _body(item, item.body, depth + 1)
    return found


def _body(item: Item, lines: list[str], depth: int) -> None:
    inner: list[str] = []
    last = ""
    for line in lines:
        level, text = len(line) - len(line.lstrip("\t")), line.strip()
        if level == depth and HEAD.match(text) and not re.match(r"^\w+: ", text) and text != "column":
            inner.append(line)
            last = "child"
        elif level > depth and last == "child":
            inner.append(line)
        elif level == depth:
            name, _, value = text.partition(":") if re.match(r"^\w+: ", text) else text.partition(" =")
            item.properties[name.strip()] = value.strip() or "true"
            last = name.strip()
        elif last:
            item.properties[last] = f"{item.properties[last].removeprefix('true')}\n{text}".strip()
        else:
            item.expression = f"{item.expression}\n{text}".strip()
    item.children = _items(inner, depth)


@dataclass
class Model:
    """What a folder `definition/` says."""

    files: dict[str, str]

    def __post_init__(self) -> None:
        self.items = {path: read(text) for path, text in self.files.items()}
        self.tables = {item.name: item for path, items in self.items.items() if path.startswith("tables/") for item in items}
        self.relationships = list(self.items.get("relationships.tmdl", []))
        self.expressions = {item.name: item for item in self.items["expressions.tmdl"]}
        self.refs = [item for item in self.items["model.tmdl"] if item.kind == "ref"]

    @property
    def columns(self) -> set[tuple[str, str]]:
        return {(table, column.name) for table, item in self.tables.items() for column in item.of("column")}

    @property
    def measures(self) -> dict[str, str]:
        return {measure.name: measure.expression for item in self.tables.values() for measure in item.of("measure")}


def ends(relationship: Item) -> list[tuple[str, str]]:
    """(table, column) of the many side and of the one side."""
    found = []
    for name in ("fromColumn", "toColumn"):
        match = PLACE.fullmatch(relationship.properties[name])
        assert match
        found.append((plain(match[1]), plain(match[2])))
    return found


def model_of(files: dict[str, str]) -> Model:
    """The model among the files of a project."""
    inside = ".SemanticModel/definition/"
    return Model({path.partition(inside)[2]: text for path, text in files.items() if inside in path})


def written_model(folder: Path) -> Model:
    """The model of an exported folder."""
    return model_of({str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.tmdl")})
