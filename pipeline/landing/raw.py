"""The raw text of single lines, fetched from the bytes they came in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from pipeline.landing.header import Layout
from pipeline.landing.records import Record, Whole, as_utf8, blocks_of, read_records

RAW_LIMIT = 65_536  # characters of a line kept in quarantine; the whole file is in archive/


def raw_text(data: bytes) -> str:
    """Bytes of a line as text: what is no UTF-8, and NUL, as escapes."""
    return data.decode("utf-8", "backslashreplace").replace("\0", "\\x00")[:RAW_LIMIT]


def plain_lines(chunks: Iterable[bytes], wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """(line, its bytes) of the wanted physical lines (sorted); chunks without one are only counted."""
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
            yield line, lines[line - at].rstrip(b"\r")
        at += len(lines)
    if waiting and waiting[-1] == at:
        yield at, carry.rstrip(b"\r")


def careful_lines(
    chunks: Iterable[bytes], encoding: str, layout: Layout, wanted: Sequence[int], max_line_bytes: int
) -> Iterator[tuple[int, bytes]]:
    """(line, UTF-8) of the records that begin on the wanted lines (sorted), by the careful reader's own reading."""
    waiting = list(reversed(wanted))
    for event in read_records(chunks, encoding, layout, max_line_bytes):
        if not waiting:
            return
        if isinstance(event, Whole):
            while waiting and waiting[-1] < event.line + len(event.data):
                line = waiting.pop()
                yield line, event.data[line - event.line].rstrip(b"\r\n")
        elif isinstance(event, Record) and event.line == waiting[-1]:
            yield waiting.pop(), event.data


def record_lines(
    chunks: Callable[[], Iterable[bytes]],
    encoding: str,
    layout: Callable[[], Layout],
    wanted: Sequence[int],
    max_line_bytes: int,
    *,
    by_line: bool,
) -> Iterator[tuple[int, str]]:
    """(line, raw text) of the records that begin on the wanted lines; see `record_bytes`."""
    for line, data in record_bytes(chunks, encoding, layout, wanted, max_line_bytes, by_line=by_line):
        yield line, raw_text(data)


def record_bytes(
    chunks: Callable[[], Iterable[bytes]],
    encoding: str,
    layout: Callable[[], Layout],
    wanted: Sequence[int],
    max_line_bytes: int,
    *,
    by_line: bool,
) -> Iterator[tuple[int, bytes]]:
    """(line, bytes) of the records that begin on the wanted lines.

    With `by_line` (UTF-8, one kind of line end) lines are found by counting;
    only one with an open quote, which may go on below, takes the careful way.
    """
    later = list(wanted)
    if by_line:
        later = []
        for line, data in plain_lines(chunks(), wanted):
            if data.count(b'"') % 2:
                later.append(line)
            else:
                yield line, data
    if later:
        yield from careful_lines(chunks(), encoding, layout(), later, max_line_bytes)


def lines_between(chunks: Iterable[bytes], encoding: str, first: int, last: int) -> list[tuple[int, str]]:
    """(line, text) of physical lines, both ends included; fewer where the file ends."""
    at, found = 1, list[tuple[int, str]]()
    for block in blocks_of(as_utf8(chunks, encoding)):
        for number in range(max(first, at), min(last + 1, at + len(block))):
            found.append((number, raw_text(block[number - at].rstrip(b"\r\n"))))
        at += len(block)
        if at > last:
            break
    return found
