"""The graph of tables: names resolved, order found, parts selected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from pipeline.errors import ProjectError, UsageError
from pipeline.project.model import Model
from pipeline.project.source import Operation, Source

LAYERS = ("bronze", "silver", "gold")
ROW_KINDS = ("upsert", "append", "scd2")


@dataclass(frozen=True)
class Graph:
    """Sources and models by full name, with `order`: every table after those it reads."""

    sources: dict[str, Source]
    models: dict[str, Model]
    order: tuple[str, ...]

    def inputs(self, name: str) -> tuple[str, ...]:
        """The tables that `name` reads; none for a source."""
        return self.models[name].inputs if name in self.models else ()

    def upstream(self, names: Iterable[str]) -> set[str]:
        """`names` and everything they are made of."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.inputs(name))
        return found

    def downstream(self, names: Iterable[str]) -> set[str]:
        """`names` and everything made of them."""
        found = set(names)
        for name in self.order:
            if found.intersection(self.inputs(name)):
                found.add(name)
        return found

    def sources_of(self, name: str) -> list[str]:
        """The sources a table is made of, in order."""
        return sorted((table for table in self.upstream([name]) if table in self.sources), key=self._place.__getitem__)

    def operation(self, name: str) -> Operation | None:
        """How a model that takes row by row from a source, or from a table that keeps all its rows, hears of deletes."""
        while name in self.models and self.models[name].header.kind in ROW_KINDS:
            above = self.models[name].inputs[0]
            if above in self.sources:
                return self.sources[above].operation
            name = above
        return None

    def readers(self, name: str) -> list[str]:
        """The models that read a table."""
        return list(self._readers.get(name, ()))

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.order)}

    @cached_property
    def _readers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for other, model in self.models.items():
            for name in dict.fromkeys(model.inputs):
                found.setdefault(name, []).append(other)
        return found

    def watched(self, name: str) -> bool:
        """Whether an incremental model asks which rows of a table have changed."""
        return any(self.models[other].header.kind == "incremental" for other in self.readers(name))

    def layer(self, layer: str) -> list[str]:
        """The tables of one layer, in order."""
        return [name for name in self.order if name.startswith(layer + ".")]


def build_graph(sources: Sequence[Source], models: Sequence[Model]) -> Graph:
    """Resolve names and order the tables.

    Raises ProjectError for a duplicate name, an unknown table, an upward reference, a cycle, or rows taken one by one
    from a table that does not keep its rows.
    """
    _no_duplicates([*sources, *models])
    known = {source.table for source in sources} | {model.name for model in models}
    resolved = {model.name: _resolved(model, known) for model in models}
    for model in resolved.values():
        _check_rows_stay(model, resolved)
    tree = {name: set(model.inputs) for name, model in resolved.items()}
    for source in sources:
        tree[source.table] = set()
    graph = Graph({source.table: source for source in sources}, resolved, _order(tree, resolved))
    return replace(graph, models={name: _with_deletes(graph, model) for name, model in resolved.items()})


def _with_deletes(graph: Graph, model: Model) -> Model:
    """A model whose source begins to tell of deletes is another model: its table is rebuilt."""
    operation = graph.operation(model.name)
    if operation is None:
        return model
    return replace(model, fingerprint=f"{model.fingerprint} {operation.column} {' '.join(operation.delete)}")


def _no_duplicates(parts: Sequence[Source | Model]) -> None:
    seen: dict[str, Source | Model] = {}
    for part in parts:
        name = part.table if isinstance(part, Source) else part.name
        if name in seen:
            raise ProjectError(
                f"{name} is already made by {seen[name].path}", where=f"{part.path}:1", do="rename one of them"
            )
        seen[name] = part


def _resolved(model: Model, known: set[str]) -> Model:
    inputs = tuple(_full_name(name, model, known) for name in model.inputs)
    for name in inputs:
        if LAYERS.index(name.partition(".")[0]) > LAYERS.index(model.layer):
            raise ProjectError(
                f"{model.name} reads {name}, which is made later",
                where=_place(model, name),
                do="a layer reads only itself and the layers before it",
            )
    return replace(model, inputs=tuple(dict.fromkeys(inputs)))


def _check_rows_stay(model: Model, models: dict[str, Model]) -> None:
    """What takes in new rows one by one never hears of rows that change or go: its input keeps all it ever had."""
    above = models.get(model.inputs[0]) if model.inputs else None
    if model.header.kind in ROW_KINDS and above is not None and above.header.kind not in ("append", "view"):
        raise ProjectError(
            f"{model.name} of kind {model.header.kind} takes rows one by one, but {above.name} of kind {above.header.kind} "
            "does not keep its rows",
            where=_place(model, above.name),
            do="read a source or a table of kind append, or use kind incremental",
        )


def _full_name(name: str, model: Model, known: set[str]) -> str:
    if model.is_python:
        layers = LAYERS[: LAYERS.index(model.layer) + 1]
        for layer in reversed(layers):
            if f"{layer}.{name}" in known:
                return f"{layer}.{name}"
    if name in known:
        return name
    near = get_close_matches(name, known, 1, 0.5) or [
        other for other in sorted(known) if other.partition(".")[2] == name
    ]
    raise ProjectError(
        f"{model.name} reads {name}, which no source or model makes",
        where=_place(model, name),
        do=f"did you mean {near[0]}?" if near else "add it under sql/, or correct the name",
    )


def _place(model: Model, name: str) -> str:
    bare = name.partition(".")[2]
    return f"{model.path}:{model.lines.get(name) or model.lines.get(bare) or 1}"


def _order(tree: dict[str, set[str]], models: dict[str, Model]) -> tuple[str, ...]:
    sorter = TopologicalSorter({name: sorted(tree[name]) for name in sorted(tree)})
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        model = models[cycle[0]]
        raise ProjectError(
            f"these tables read each other in a circle: {' <- '.join(cycle)}",
            where=_place(model, cycle[-2]),
            do="break the circle",
        ) from error


def select(graph: Graph, patterns: Sequence[str]) -> set[str]:
    """The tables that patterns such as `gold.fact_orders+`, `+silver.orders`, `gold.*` or `bronze` mean.

    `+` in front adds what a table is made of, behind it what is made of it.
    Raises UsageError for a pattern that means nothing.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        for part in filter(None, pattern.replace(",", " ").split()):
            chosen |= _matching(graph, part)
    return chosen


def _matching(graph: Graph, part: str) -> set[str]:
    bare = part.strip("+")
    known = bare in graph.models or bare in graph.sources
    names = [bare] if known else [name for name in graph.order if _means(bare, name)]
    if not names:
        near = get_close_matches(bare, graph.order, 1, 0.5)
        raise UsageError(
            f"--select {part} means no table", do=f"did you mean {near[0]}?" if near else "see `goldfeed plan`"
        )
    chosen = set(names)
    if part.startswith("+"):
        chosen |= graph.upstream(names)
    if part.endswith("+"):
        chosen |= graph.downstream(names)
    return chosen


def _means(bare: str, name: str) -> bool:
    layer, _, table = name.partition(".")
    return bare in (name, layer, f"{layer}.*", table)
