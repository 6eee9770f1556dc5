"""The careful reader: for files the fast one cannot read exactly.

It knows quotes (RFC 4180), keeps physical line numbers and sets broken lines
aside one by one: an unclosed quote costs its own line, not the rest of the
file. Lines that are plainly whole go through in runs; only the others are
looked at one by one.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.landing.header import Layout
from pipeline.landing.look import python_encoding

LOOK_AHEAD_LINES, LOOK_AHEAD_BYTES = 1000, 1 << 20
BROKEN_QUOTE = "text after a closing quote, or a quote never closed"


@dataclass(frozen=True)
class Whole:
    """Consecutive records of one line each, with their line ends; the first is on `line`."""

    line: int
    data: list[bytes]


@dataclass(frozen=True)
class Record:
    """One record: its first physical line, its bytes (UTF-8, without line end), how many lines it takes,
    and why it is bad, if it is."""

    line: int
    data: bytes
    problem: str | None = None
    lines: int = 1


@dataclass(frozen=True)
class Skipped:
    """A line that is no record: blank, or the header."""

    line: int
    blank: bool


Event = Whole | Record | Skipped


@dataclass
class Counts:
    """Lines seen by the careful reader; a record over several lines counts once."""

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
            spare = len(data) - len(data.rstrip(self.delimiter))
        elif self.record.fullmatch(data):
            fields = self.fields(data)
            count = len(fields)
            spare = next((place for place, field in enumerate(reversed(fields)) if field not in (b"", b'""')), count)
        else:
            return BROKEN_QUOTE
        if count == self.width or count - spare <= self.width < count:
            return None  # empty fields too many at the end hold nothing; DuckDB's reader takes them, too
        return "too few columns" if count < self.width else "too many columns"


def as_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Chunks of any encoding as UTF-8, without byte order mark; what cannot be read becomes U+FFFD."""
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


def blocks_of(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Physical lines with their line ends, a list a chunk."""
    carry = b""
    for data in chunks:
        lines = (carry + data).splitlines(keepends=True)
        carry = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        yield lines
    yield carry.splitlines(keepends=True)


def read_records(chunks: Iterable[bytes], encoding: str, layout: Layout, limit: int) -> Iterator[Event]:
    """All of a file in order: runs of whole lines, single records good and bad, blank and header lines."""
    reader = _Reader(blocks_of(as_utf8(chunks, encoding)), layout, limit, recoded=encoding != "utf-8")
    return reader.events()


class _Reader:
    """Lines still to be read, and which of them are not plainly whole."""

    def __init__(self, blocks: Iterator[list[bytes]], layout: Layout, limit: int, *, recoded: bool) -> None:
        self._blocks, self._layout, self._limit = blocks, layout, limit
        self._recoded = recoded  # then U+FFFD is what could not be decoded; else it is a character like another
        self._grammar = Grammar(layout)
        self._lines: list[bytes] = []
        self._odd: list[int] = []
        self._first = 1  # the number of the first of `_lines`

    def events(self) -> Iterator[Event]:
        yield from self._header()
        while self._lines or self._more():
            at = 0
            for odd in self._odd:  # grows while a record looks ahead
                if odd < at:
                    continue
                if odd > at:
                    yield Whole(self._first + at, self._lines[at:odd])
                event = self._one(odd)
                yield event
                at = odd + (event.lines if isinstance(event, Record) else 1)
                if at >= len(self._lines):
                    break
            if at < len(self._lines):
                yield Whole(self._first + at, self._lines[at:])
            self._drop(len(self._lines))

    def _header(self) -> Iterator[Event]:
        while len(self._lines) < self._layout.lines and self._more():
            pass
        for number, line in enumerate(self._lines[: self._layout.lines], 1):
            yield Skipped(number, blank=number < self._layout.lines and not line.strip())
        self._drop(min(self._layout.lines, len(self._lines)))

    def _drop(self, count: int) -> None:
        self._lines = self._lines[count:]
        self._odd = [odd - count for odd in self._odd if odd >= count]
        self._first += count

    def _more(self) -> bool:
        """Add the next block; False at the end."""
        for block in self._blocks:
            if block:
                base = len(self._lines)
                self._odd += [base + odd for odd in self._odd_ones(block)]
                self._lines += block
                return True
        return False

    def _odd_ones(self, block: list[bytes]) -> list[int]:
        """Places of the lines that must be looked at one by one."""
        joined = b"".join(block)
        if self._layout.padded or self._layout.width == 1 or self._unreadable(joined):
            return list(range(len(block)))
        delimiter, marks, limit = self._grammar.delimiter, self._layout.width - 1, self._limit
        odd = {place for place, line in enumerate(block) if line.count(delimiter) != marks}
        for sign in (b'"', b"\0"):
            if sign in joined:
                odd.update(place for place, line in enumerate(block) if sign in line)
        if len(joined) > limit:
            odd.update(place for place, line in enumerate(block) if len(line) > limit)
        return sorted(odd)

    def _unreadable(self, data: bytes) -> bool:
        return not _is_utf8(data) or (self._recoded and b"\xef\xbf\xbd" in data)

    def _one(self, place: int) -> Event:
        number, raw = self._first + place, self._lines[place]
        body = raw.rstrip(b"\r\n")
        if is_blank(body, self._grammar.delimiter):
            return Skipped(number, blank=True)
        broken = self._bytes_problem(body)
        if broken:
            return Record(number, body[: self._limit], broken)
        problem = self._grammar.problem(body)
        if problem and b'"' in body and self._grammar.open_record.fullmatch(body):
            joined, lines = self._joined(place)
            if joined is not None and not self._bytes_problem(joined):
                return Record(number, joined, lines=lines)
        return Record(number, body, problem)

    def _bytes_problem(self, body: bytes) -> str | None:
        return bytes_problem(body, self._limit, recoded=self._recoded)

    def _joined(self, place: int) -> tuple[bytes | None, int]:
        """The record that begins on this line and goes on over the next ones; None if it never ends well."""
        data = self._lines[place]
        for count in range(1, LOOK_AHEAD_LINES):
            if place + count >= len(self._lines) and not self._more():
                return None, 1
            following = self._lines[place + count]
            data += following
            if len(data) > LOOK_AHEAD_BYTES:
                return None, 1
            if b'"' not in following:
                continue
            body = data.rstrip(b"\r\n")
            if self._grammar.problem(body) is None:
                return body, count + 1
            if not self._grammar.open_record.fullmatch(body):
                return None, 1
        return None, 1


def is_blank(body: bytes, delimiter: bytes) -> bool:
    """Whether a line holds nothing, or nothing but blanks."""
    return not body.strip(b" \t") and delimiter not in body


def bytes_problem(body: bytes, limit: int, *, recoded: bool) -> str | None:
    """What is wrong with the bytes of a record (UTF-8, or meant to be), or None.

    `recoded`: they were another encoding, and U+FFFD is what could not be decoded.
    """
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
    return "a character that its encoding does not have" if recoded and "\ufffd" in text else None


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def staged(record: Record, grammar: Grammar) -> bytes:
    """A good record as the loader reads it: blanks around its fields removed where the layout has them."""
    if not grammar.padded:
        return record.data + b"\n"
    return grammar.delimiter.join(field.strip(b" \t") for field in grammar.fields(record.data)) + b"\n"
