"""The raw text of single lines, fetched from the bytes they came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pipeline.landing.header import Layout
from pipeline.landing.records import Counts, lines_of, records

RAW_LIMIT = 65_536  # characters of a line kept in quarantine; the whole file is in archive/


def raw_text(data: bytes) -> str:
    """Bytes of a line as text: what is no UTF-8, and NUL, as escapes."""
    return data.decode("utf-8", "backslashreplace").replace("\0", "\\x00")[:RAW_LIMIT]


def plain_lines(chunks: Iterable[bytes], wanted: Sequence[int]) -> Iterator[tuple[int, str]]:
    """(line, raw text) of the wanted physical lines (sorted); chunks without one are only counted."""
    at, carry, waiting = 1, b"", list(reversed(wanted))
    for data in chunks:
        if not waiting:
            return
        end = data.count(b"\n")
        if waiting[-1] > at + end:
            carry = data[data.rfind(b"\n") + 1 :] if end else carry + data
            at += end
            continue
        lines = (carry + data).split(b"\n")
        carry = lines.pop()
        while waiting and waiting[-1] < at + len(lines):
            line = waiting.pop()
            yield line, raw_text(lines[line - at].rstrip(b"\r"))
        at += len(lines)
    if waiting and waiting[-1] == at:
        yield at, raw_text(carry.rstrip(b"\r"))


def careful_lines(
    chunks: Iterable[bytes], encoding: str, layout: Layout, wanted: Sequence[int], max_line_bytes: int
) -> Iterator[tuple[int, str]]:
    """(line, raw text) of the records that begin on the wanted lines, by the careful reader's own reading."""
    chosen = set(wanted)
    for record in records(lines_of(chunks, encoding), layout, max_line_bytes, Counts()):
        if record.line in chosen:
            yield record.line, raw_text(record.data)
