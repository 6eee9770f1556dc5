"""Context addresses: which part of $metadata describes an answer."""

from __future__ import annotations

from pipeline.feed.odata.address import Target
from pipeline.feed.odata.ask import Ask
from pipeline.feed.odata.model import Entity, Model
from pipeline.feed.odata.tree import Options, Step


def context_of(ask: Ask, target: Target) -> str:
    """`http://.../odata/v4/$metadata#orders(order_id,lines(line))`."""
    start = f"{ask.root}$metadata#{target.entity.name}"
    if target.property is not None:
        return f"{ask.root}$metadata#{ask.path.removesuffix('/$value')}"
    if any(step.name in ("groupby", "aggregate") for step in ask.query.apply):
        return f"{start}({','.join(_grouped(ask.query.apply))})"
    names = _listed(ask.model, target.entity, ask.query.options)
    return f"{start}{f'({names})' if names else ''}{'' if target.many else '/$entity'}"


def _listed(model: Model, entity: Entity, options: Options) -> str:
    """What $select and $expand leave, where they name something."""
    found = list[str]()
    if options.select is not None and "*" not in options.select:
        found += [name for name in dict.fromkeys(options.select) if name not in entity.navigations]
    for expand in options.expand:
        if link := entity.navigations.get(expand.name):
            inner = _listed(model, model.entities[link.target], expand.options)
            found.append(f"{expand.name}({inner})")
    return ",".join(found)


def _grouped(steps: tuple[Step, ...]) -> list[str]:
    """The columns that the last grouping leaves, and those computed after it."""
    found = list[str]()
    for step in steps:
        if step.name in ("groupby", "aggregate"):
            found = ["/".join(path.names) for path in step.groups] + [item.alias for item in step.aggregates]
        found += [alias for alias, _ in step.compute]
    return found
