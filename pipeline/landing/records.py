"""The careful reader: for files the fast one cannot read exactly.

It goes line by line, knows quotes (RFC 4180), keeps physical line numbers and
sets broken lines aside one by one: an unclosed quote costs its own line, not
the rest of the file.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.landing.header import Layout
from pipeline.landing.look import python_encoding

LOOK_AHEAD_LINES, LOOK_AHEAD_BYTES = 1000, 1 << 20
Line = tuple[int, bytes]


@dataclass(frozen=True)
class Record:
    """One record: its first physical line, its bytes (UTF-8, without line end), and why it is bad, if it is."""

    line: int
    data: bytes
    problem: str | None = None


@dataclass
class Counts:
    """Lines seen by the careful reader; a record over several lines counts once."""

    header: int = 0
    blank: int = 0
    records: int = 0


class Grammar:
    """Field and record patterns of one layout; possessive, so that no input makes them slow."""

    def __init__(self, layout: Layout) -> None:
        d = re.escape(layout.delimiter).encode()
        quoted = rb'"(?:[^"]++|"")*+"'
        pad = rb"[ \t]*+" if layout.padded else b""
        plain = rb'[^"%b\r\n][^%b\r\n]*+' % (d, d)
        field = rb"(?>%b%b%b|%b|)" % (pad, quoted, pad, plain)
        self.field = re.compile(field)
        self.record = re.compile(rb"%b(?:%b%b)*+" % (field, d, field))
        self.open_record = re.compile(rb'(?:%b%b)*+%b"(?:[^"]++|"")*+' % (field, d, pad))
        self.delimiter, self.padded = layout.delimiter.encode(), layout.padded
        self.width = layout.width

    def fields(self, data: bytes) -> list[bytes]:
        """The fields of a record that the grammar accepts, quotes kept."""
        found, at = [], 0
        while True:
            match = self.field.match(data, at)
            end = match.end() if match else at
            found.append(data[at:end])
            if end >= len(data):
                return found
            at = end + 1

    def problem(self, data: bytes) -> str | None:
        """Why a record is bad, or None."""
        if b'"' not in data:
            count = data.count(self.delimiter) + 1
        elif self.record.fullmatch(data):
            count = len(self.fields(data))
        else:
            return "text after a closing quote, or a quote never closed"
        if count == self.width:
            return None
        return "too few columns" if count < self.width else "too many columns"


def lines_of(chunks: Iterable[bytes], encoding: str) -> Iterator[Line]:
    """Physical lines with their line ends, numbered from 1, as UTF-8."""
    number, carry = 0, b""
    for data in _as_utf8(chunks, encoding):
        parts = (carry + data).splitlines(keepends=True)
        carry = parts.pop() if parts and not parts[-1].endswith(b"\n") else b""
        for part in parts:
            number += 1
            yield number, part
    for part in carry.splitlines(keepends=True):
        number += 1
        yield number, part


def _as_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    first = True
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(python_encoding(encoding))("replace")
    for data in chunks:
        if decoder is not None:
            data = decoder.decode(data).encode("utf-8")
        if first and data:
            data, first = data.removeprefix(codecs.BOM_UTF8), False
        yield data
    if decoder is not None:
        yield decoder.decode(b"", True).encode("utf-8")


def records(lines: Iterable[Line], layout: Layout, max_line_bytes: int, counts: Counts) -> Iterator[Record]:
    """The records after the header, good and bad, in order. `counts` is filled on the way."""
    grammar = Grammar(layout)
    window = _Window(lines)
    while (line := window.take()) is not None:
        number, raw = line
        body = raw.rstrip(b"\r\n")
        if number <= layout.lines:
            _count_header(counts, body, number == layout.lines)
            continue
        if not body.strip():
            counts.blank += 1
            continue
        counts.records += 1
        yield _record(number, body, raw, window, grammar, max_line_bytes)


def _count_header(counts: Counts, body: bytes, last: bool) -> None:
    if last:
        counts.header = 1
    elif not body.strip():
        counts.blank += 1


def _record(number: int, body: bytes, raw: bytes, window: _Window, grammar: Grammar, limit: int) -> Record:
    broken = _bytes_problem(body, limit)
    if broken:
        return Record(number, body[:limit], broken)
    problem = grammar.problem(body)
    if problem and b'"' in body and grammar.open_record.fullmatch(body):
        joined = _joined(raw, window, grammar)
        if joined is not None and not _bytes_problem(joined, limit):
            return Record(number, joined)
    return Record(number, body, problem)


def _bytes_problem(body: bytes, limit: int) -> str | None:
    if len(body) > limit:
        return "longer than max_line_bytes"
    if b"\0" in body:
        return f"a NUL byte at position {body.index(0) + 1}"
    if body.isascii():
        return None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8 at position {error.start + 1}"
    return "a character that its encoding does not have" if "\ufffd" in text else None


def _joined(raw: bytes, window: _Window, grammar: Grammar) -> bytes | None:
    """The record that begins with `raw` and goes on over the next lines; None if it never ends well."""
    data = raw
    for count, (_, following) in enumerate(window.ahead(), 1):
        data += following
        if count >= LOOK_AHEAD_LINES or len(data) > LOOK_AHEAD_BYTES:
            return None
        if b'"' not in following:
            continue
        body = data.rstrip(b"\r\n")
        if grammar.problem(body) is None:
            window.drop(count)
            return body
        if not grammar.open_record.fullmatch(body):
            return None
    return None


class _Window:
    """Lines with look-ahead."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines, self._seen = iter(lines), deque[Line]()

    def take(self) -> Line | None:
        return self._seen.popleft() if self._seen else next(self._lines, None)

    def ahead(self) -> Iterator[Line]:
        yield from list(self._seen)
        for line in self._lines:
            self._seen.append(line)
            yield line

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._seen.popleft()


def staged(record: Record, grammar: Grammar) -> bytes:
    """A good record as the loader reads it: its line number, then its fields, blanks around quotes removed."""
    data = record.data
    if grammar.padded:
        data = grammar.delimiter.join(field.strip(b" \t") for field in grammar.fields(data))
    return b"%d%b%b\n" % (record.line, grammar.delimiter, data)
