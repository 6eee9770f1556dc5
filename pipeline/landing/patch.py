"""Lines whose quotes are broken, blanked out, so that the fast reader can read the rest of the file exactly.

DuckDB takes all from a quote never closed to the next quote in the file for
one broken line. Only lines that hold a quote are looked at here.
"""

from __future__ import annotations

from pipeline.landing.header import Layout
from pipeline.landing.look import MANY
from pipeline.landing.raw import raw_text
from pipeline.landing.records import BROKEN_QUOTE, LOOK_AHEAD_BYTES, LOOK_AHEAD_LINES, Grammar

Broken = tuple[int, str, str]


def patched(data: bytes, layout: Layout) -> tuple[list[Broken], list[bytes]] | None:
    """(line, reason, raw text) of the lines with broken quotes, and the file in pieces without them.

    Each such line is left empty, so that lines keep their numbers. None when a
    record goes over several lines, or too many are broken: then the careful
    reader must take the file.
    """
    grammar, broken = Grammar(layout), list[Broken]()
    pieces, written, line, counted = list[bytes](), 0, 1, 0
    at = data.find(b'"')
    while at >= 0:
        start, end = data.rfind(b"\n", 0, at) + 1, _line_end(data, at)
        body = data[start:end].rstrip(b"\r")
        if not grammar.record.fullmatch(body):
            if len(broken) >= MANY or _goes_on(data, start, end, grammar):
                return None
            line += data.count(b"\n", counted, start)
            counted = start
            broken.append((line, BROKEN_QUOTE, raw_text(body)))
            pieces.append(data[written:start])
            written = start + len(body)
        at = data.find(b'"', end)
    return broken, [*pieces, data[written:]]


def _line_end(data: bytes, at: int) -> int:
    end = data.find(b"\n", at)
    return len(data) if end < 0 else end


def _goes_on(data: bytes, start: int, end: int, grammar: Grammar) -> bool:
    """Whether the record that begins at `start` ends well on a later line."""
    record = data[start:end].rstrip(b"\r")
    while grammar.open_record.fullmatch(record):
        quote = data.find(b'"', end, start + LOOK_AHEAD_BYTES)
        if quote < 0:
            return False
        end = _line_end(data, quote)
        record = data[start:end].rstrip(b"\r")
        if record.count(b"\n") >= LOOK_AHEAD_LINES:
            return False
        if grammar.problem(record) is None:
            return True
    return False
