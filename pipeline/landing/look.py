"""One look at the bytes of a file: hash, counts, encoding, line ends; nothing is kept in memory."""

from __future__ import annotations

import codecs
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import zstandard

from pipeline.errors import FileRejected

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK = 1 << 20
HEAD = 16_384  # bytes of a file's start that are kept: hundreds of files are looked at before one is loaded
MANY = 50_000  # empty lines, or lines with a broken quote, up to which a file is still patched and read fast
UNBROKEN = 64 << 20  # bytes without a line end after which nobody reads on: a line must fit in memory
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NO_CSV = (
    (b"PK\x03\x04", "a zip or Excel file"),
    (b"%PDF", "a PDF"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "a picture"),
    (b"SQLite format", "a database"),
    (b"Obj\x01", "an Avro file"),
)
_NO_CSV_TEXT = (
    ("<!doctype", "a web page"),
    ("<html", "a web page"),
    ("<?xml", "an XML file"),
    ("{", "JSON"),
    ("[", "JSON"),
)


@dataclass
class Facts:
    """What one pass over the (unpacked) bytes shows. Counts are of bytes; `newlines` of LF."""

    sha256: str = ""
    size: int = 0
    newlines: int = 0
    returns: int = 0
    pairs: int = 0
    quotes: int = 0
    nul: bool = False
    unbroken: int = 0
    blanks: list[int] = field(default_factory=list)
    utf8: bool = True
    head: bytes = b""
    last: bytes = b""

    @property
    def ends_open(self) -> bool:
        """Whether the last line has no line end."""
        return self.size > 0 and self.last not in (b"\n", b"\r")

    @property
    def lines(self) -> int:
        """Physical lines, counting an open last one."""
        return self.newlines + (1 if self.ends_open else 0)

    @property
    def one_line_end(self) -> bool:
        """All LF or all CRLF; anything else is for the careful reader."""
        return self.newlines > 0 and self.returns == self.pairs and self.pairs in (0, self.newlines)


def unpacked(file: IO[bytes], limit: int, ratio: int) -> tuple[str | None, Iterator[bytes]]:
    """The kind of compression and the plain bytes of an open file.

    Raises FileRejected past `limit` bytes, past `ratio` times the packed size
    (and 100 MB), or when the packed data is damaged.
    """
    start = file.read(4)
    file.seek(0)
    if start[:2] == GZIP:
        return "gzip", _capped(_gunzip(file), file, limit, ratio)
    if start == ZSTD or (len(start) == 4 and start[1:] == b"\x2a\x4d\x18" and start[0] & 0xF0 == 0x50):
        return "zstd", _capped(_unzstd(file), file, limit, ratio)
    return None, _capped(iter(lambda: file.read(CHUNK), b""), file, limit, 0)


def _capped(chunks: Iterator[bytes], file: IO[bytes], limit: int, ratio: int) -> Iterator[bytes]:
    total = 0
    for data in chunks:
        total += len(data)
        if total > limit:
            raise FileRejected("it is larger than max_file_bytes", do="split it, or raise the setting")
        if ratio and total > 100_000_000 and total > ratio * max(file.tell(), 1):
            raise FileRejected(
                f"it unpacks to more than {ratio} times its size", do="deliver it unpacked if it is real"
            )
        yield data


def _gunzip(file: IO[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=31)
    pending = file.read(CHUNK // 16)
    while pending:
        try:
            data = stream.decompress(pending, CHUNK)
        except zlib.error as error:
            raise FileRejected("its gzip data is damaged", do="deliver it again") from error
        if data:
            yield data
        pending = stream.unconsumed_tail or (b"" if stream.eof else file.read(CHUNK // 16))
        if stream.eof and (pending := stream.unused_data or file.read(CHUNK // 16)):
            stream = zlib.decompressobj(wbits=31)
    if not stream.eof:
        raise FileRejected("its gzip data ends too early", do="deliver it again")


def _unzstd(file: IO[bytes]) -> Iterator[bytes]:
    packed = file.read(CHUNK // 16)
    stream = _zstd_frame()
    while packed:
        try:
            data = stream.decompress(packed)
        except zstandard.ZstdError as error:
            raise FileRejected("its zstd data is damaged", do="deliver it again") from error
        if data:
            yield data
        packed = (stream.unused_data if stream.eof else b"") or file.read(CHUNK // 16)
        if stream.eof and packed:
            stream = _zstd_frame()
    if not stream.eof:
        raise FileRejected("its zstd data ends too early", do="deliver it again")


def _zstd_frame() -> zstandard.ZstdDecompressionObj:
    return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()


def look(chunks: Iterator[bytes], sinks: list[Callable[[bytes], object]]) -> Facts:
    """Read all chunks once, hand each to the sinks, and say what was seen."""
    facts, digest = Facts(), hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    for data in chunks:
        digest.update(data)
        for sink in sinks:
            sink(data)
        if len(facts.head) < HEAD:
            facts.head += data[: HEAD - len(facts.head)]
        _count(facts, data)
        _decode(facts, decoder, data)
    _decode(facts, decoder, b"", final=True)
    facts.sha256 = digest.hexdigest()
    return facts


def _count(facts: Facts, data: bytes) -> None:
    returns = b"\r" in data  # 9 us a megabyte where there is none; \n\r\n is looked for at 640, and letters are counted at 250
    if data.rfind(b"\n\n") >= 0 or (returns and b"\n\r\n" in data) or data[:2].lstrip(b"\r")[:1] == b"\n":
        _note_blanks(facts, data)
    facts.size += len(data)
    newlines = data.count(b"\n")
    facts.newlines += newlines
    facts.unbroken = 0 if newlines or returns else facts.unbroken + len(data)
    if facts.unbroken > UNBROKEN:
        raise FileRejected("it has 64 MB without a line end", do="deliver it again, as CSV")
    if returns or facts.last == b"\r":
        facts.returns += data.count(b"\r")
        facts.pairs += data.count(b"\r\n") + (1 if facts.last == b"\r" and data[:1] == b"\n" else 0)
    facts.quotes += data.count(b'"') if b'"' in data else 0
    facts.nul = facts.nul or b"\0" in data
    facts.last = data[-1:]


def _note_blanks(facts: Facts, data: bytes) -> None:
    """Add the numbers of the empty lines that end in this chunk, as far as MANY of them."""
    line, at = facts.newlines + 1, 0
    for end in sorted(_empty_line_ends(data, facts.last in (b"\n", b""))):
        if len(facts.blanks) > MANY:
            return
        line += data.count(b"\n", at, end)
        at = end
        facts.blanks.append(line)


def _empty_line_ends(data: bytes, at_line_start: bool) -> Iterator[int]:
    """Places of the line feeds that end an empty line; by find: a pattern with a look-behind tries every byte."""
    for empty in (b"\n", b"\r\n") if b"\r" in data else (b"\n",):
        if at_line_start and data.startswith(empty):
            yield len(empty) - 1
        at = data.find(b"\n" + empty)
        while at >= 0:
            yield at + len(empty)
            at = data.find(b"\n" + empty, at + len(empty))


def _decode(facts: Facts, decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool = False) -> None:
    if not facts.utf8 or (data.isascii() and not final and decoder.getstate()[0] == b""):
        return
    try:
        decoder.decode(data, final)
    except UnicodeDecodeError:
        facts.utf8 = False


def encoding_of(facts: Facts, stated: str | None, chunks: Callable[[], Iterator[bytes]]) -> str:
    """The encoding of a file: stated, shown by a byte order mark, or found from the bytes.

    `chunks` gives all of its bytes again, if need be: the first line with other letters may come late.
    """
    for mark, name in _BOMS:
        if facts.head.startswith(mark):
            return name
    if stated == "utf-16":
        return "utf-16-le"
    if stated:
        return stated
    even, odd = facts.head[:2000:2].count(0), facts.head[1:2000:2].count(0)
    half = min(len(facts.head), 2000) // 2
    if half and max(even, odd) > half * 0.4:
        return "utf-16-le" if odd > even else "utf-16-be"
    if facts.utf8 or _mostly_utf8(chunks()):
        return "utf-8"
    return "windows-1252"


def _mostly_utf8(chunks: Iterator[bytes]) -> bool:
    """At least as many lines hold good UTF-8 letters as hold bytes that are not UTF-8: then the rest is damage."""
    good = bad = 0
    for line in _lines_with_letters(chunks):
        try:
            line.decode("utf-8")
            good += 1
        except UnicodeDecodeError:
            bad += 1
    return good >= bad and good > 0


def _lines_with_letters(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The lines that are not ASCII."""
    carry = b""
    for data in chunks:
        lines = (carry + data).splitlines(keepends=True)
        carry = lines.pop() if lines and len(lines[-1]) < CHUNK else b""
        yield from (line for line in lines if not line.isascii())
    if not carry.isascii():
        yield carry


_CONTROLS = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f]")


def refuse_other_formats(facts: Facts, encoding: str) -> None:
    """Raise FileRejected for what is plainly no CSV."""
    if facts.size == 0:
        raise FileRejected("it is empty", do="deliver it again")
    for magic, kind in _NO_CSV:
        if facts.head.startswith(magic):
            raise FileRejected(f"it is not CSV but {kind}", do="export it as CSV")
    text = facts.head[:4000].decode(python_encoding(encoding), "replace").lstrip("\ufeff \t\r\n").lower()
    for start, kind in _NO_CSV_TEXT:
        if text.startswith(start):
            raise FileRejected(f"it is not CSV but {kind}", do="export it as CSV")
    odd = len(_CONTROLS.findall(text))
    if odd > max(16, len(text) * 0.05):
        raise FileRejected("it is not CSV but binary data", do="export it as CSV")


def python_encoding(encoding: str) -> str:
    """The codec of an encoding; bytes that Windows-1252 leaves open read as Latin-1."""
    return {"windows-1252": "goldfeed-1252", "latin-1": "latin-1"}.get(encoding, encoding)


def _codec_1252(name: str) -> codecs.CodecInfo | None:
    if name.replace("-", "_") != "goldfeed_1252":
        return None
    table = "".join(bytes([n]).decode("cp1252", "ignore") or chr(n) for n in range(256))

    def decode(data: Buffer, errors: str = "strict", /) -> tuple[str, int]:
        return codecs.charmap_decode(bytes(data), errors, table)

    class Incremental(codecs.IncrementalDecoder):
        def decode(self, data: Buffer, final: bool = False) -> str:
            return decode(data, self.errors)[0]

    return codecs.CodecInfo(
        encode=codecs.lookup("cp1252").encode, decode=decode, incrementaldecoder=Incremental, name="goldfeed-1252"
    )


codecs.register(_codec_1252)
