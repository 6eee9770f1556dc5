"""The pages of the catalog: plain HTML, one a table, everything escaped; no network, no framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pipeline.catalog.drawing import drawing
from pipeline.catalog.facts import Facts

_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'self'; script-src 'self'\">"
    '<link rel="stylesheet" href="style.css"><title>{title}</title></head><body>'
)
_LAYERS = {"gold": "Gold: published", "silver": "Silver: cleaned", "bronze": "Bronze: as it came"}


def index_page(title: str, tables: Sequence[Facts], inputs: Mapping[str, Sequence[str]], made_at: str) -> str:
    """The first page: a search over tables and columns, the tables by layer, the drawing of all."""
    parts = [
        _HEAD.format(title=f"{escape(title)}: data catalog"),
        f'<header><h1>{escape(title)}</h1><p class="muted">Data catalog, made {escape(made_at)} UTC</p>'
        '<input id="search" type="search" placeholder="Search tables and columns" autocomplete="off" autofocus></header><main>',
    ]
    for layer, heading in _LAYERS.items():
        held = [facts for facts in tables if facts["layer"] == layer]
        cards = "".join(_card(facts) for facts in held)
        parts.append(f'<section class="layer"><h2>{heading}</h2><div class="cards">{cards}</div></section>')
    parts.append('<p id="nothing" class="muted" hidden>No table has that in its name, description or columns.</p>')
    parts.append(f'<section><h2>What is made of what</h2><div class="scroll">{drawing(inputs, None)}</div></section>')
    parts.append('</main><script src="search.js"></script></body></html>')
    return "".join(parts)


def _card(facts: Facts) -> str:
    words = " ".join(
        [facts["table"], facts["description"], *(c["name"] + " " + c["description"] for c in facts["columns"])]
    )
    rows = f"{facts['rows']:,} rows" if facts["rows"] is not None else "not built"
    checks = f", {len(facts['contract']['checks'])} checks" if facts["contract"] else ""
    return (
        f'<a class="card {escape(facts["layer"])}" href="{escape(facts["table"])}.html" data-words="{escape(words.lower())}">'
        f"<strong>{escape(facts['table'].partition('.')[2])}</strong><span>{escape(facts['description'])}</span>"
        f"<small>{rows}, {len(facts['columns'])} columns{checks}</small></a>"
    )


def table_page(title: str, facts: Facts, inputs: Mapping[str, Sequence[str]]) -> str:
    """One table: what it is, its columns with their profile, its contract, and its lineage drawn."""
    name = facts["table"]
    parts = [
        _HEAD.format(title=f"{escape(name)}: {escape(title)}"),
        f'<header><nav><a href="index.html">{escape(title)}</a></nav><h1><span class="tag {escape(facts["layer"])}">'
        f"{escape(facts['layer'])}</span> {escape(name.partition('.')[2])}</h1><p>{escape(facts['description'])}</p></header><main>",
        f"<dl>{''.join(_fact(one, value) for one, value in _head_facts(facts))}</dl>",
        "<section><h2>Columns</h2>",
        _grid(
            ("column", "type", "description", "made of", "blank", "distinct", "least", "most"),
            map(_column, facts["columns"]),
        ),
        "</section>",
        f'<section><h2>Lineage</h2><div class="scroll">{drawing(inputs, name)}</div></section>',
    ]
    if facts["rules"]:
        rules = ([_text(rule), f"<code>{escape(text)}</code>"] for rule, text in facts["rules"].items())
        parts.append(f"<section><h2>Rules</h2>{_grid(('rule', 'a row must hold'), rules)}</section>")
    if facts["contract"]:
        checks = ([_text(c[k]) for k in ("name", "dimension", "severity")] for c in facts["contract"]["checks"])
        parts.append(f"<section><h2>Contract</h2>{_grid(('check', 'dimension', 'severity'), checks)}</section>")
    parts.append("</main></body></html>")
    return "".join(parts)


def _head_facts(facts: Facts) -> list[tuple[str, str]]:
    built = str(facts["built_at"])[:16] if facts["built_at"] else "never"
    rows = f"{facts['rows']:,}" if facts["rows"] is not None else "not built yet"
    keys = [
        f"{escape(column)} → {_link('.'.join(to.split('.')[:2]), to)}" for column, to in facts["foreign_keys"].items()
    ]
    return [
        ("rows", rows),
        ("kind", escape(facts["kind"])),
        ("key", _text(", ".join(facts["key"])) or "none"),
        *([("surrogate key", _text(facts["surrogate_key"]))] if facts["surrogate_key"] else []),
        *([("points to", "<br>".join(keys))] if keys else []),
        ("made from", ", ".join(_link(one, one) for one in facts["upstream"]) or "files"),
        ("used by", ", ".join(_link(one, one) for one in facts["downstream"]) or "nothing in this project"),
        ("defined in", f"<code>{escape(facts['file'])}</code>"),
        ("built", f"{escape(built)} UTC" if facts["built_at"] else built),
    ]


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>"


def _link(table: str, text: str) -> str:
    return f'<a href="{escape(table)}.html">{escape(text)}</a>'


def _column(column: Mapping[str, Any]) -> list[str]:
    """The cells of one column; personal data shows no values."""
    mark = (
        f' <span class="pii" title="personal data">{escape(column["pii"])}{", masked" if column["masked"] else ""}</span>'
        if column["pii"]
        else ""
    )
    profile = column.get("profile") or {}
    blank, distinct = profile.get("null_percent"), profile.get("distinct_about")
    made = ", ".join(_link(".".join(e["column"].split(".")[:2]), e["column"]) for e in column["from"][:4])
    return [
        f"<strong>{escape(column['name'])}</strong>{mark}",
        f"<code>{escape(column['type'] or '')}</code>",
        _text(column["description"]),
        made + (" …" if len(column["from"]) > 4 else ""),
        "" if blank is None else f"{blank:g}%",
        "" if distinct is None else f"{distinct:,}",
        _short(profile.get("min")),
        _short(profile.get("max")),
    ]


def _text(value: Any) -> str:
    return "" if value is None else escape(str(value))


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return escape(text if len(text) <= 28 else text[:27] + "…")


def _grid(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
