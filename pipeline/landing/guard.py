"""The guard: looks at a file's bytes and header before DuckDB sees it, and stages what DuckDB cannot read."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from pipeline.errors import FileChanged, FileRejected
from pipeline.landing.archive import ArchiveWriter, Delivery
from pipeline.landing.header import Layout, first_line, read_layout
from pipeline.landing.look import CHUNK, MANY, Facts, encoding_of, look, python_encoding, refuse_other_formats, unpacked
from pipeline.landing.patch import patched
from pipeline.landing.raw import raw_text
from pipeline.landing.records import Counts, Grammar, Skipped, Whole, read_records, staged
from pipeline.landing.scan import FoundFile, unchanged
from pipeline.project.source import Source
from pipeline.settings import Settings, bytes_of

PATCH_BYTES = 128_000_000  # a larger file with broken quotes is read by the careful reader, which needs no memory


@dataclass(frozen=True)
class Looked:
    """A file after one pass: archived (not yet named), hashed, counted. `plain` holds its unpacked bytes."""

    found: FoundFile
    facts: Facts
    compression: str | None
    plain: Path
    archive: ArchiveWriter | None

    def forget(self) -> None:
        """Drop what the look left on disk."""
        self.plain.unlink(missing_ok=True)
        if self.archive is not None:
            self.archive.discard()


@dataclass(frozen=True)
class Ready:
    """A file that the loader can read: `path` for the fast reader, or staged records when `careful`.

    `gaps` are the lines on which no row begins (header, blank ones), `limit` the bytes that a line may have.
    """

    looked: Looked
    layout: Layout
    encoding: str
    careful: bool
    path: Path
    broken: Path | None = None
    holes: Path | None = None
    counts: Counts | None = None
    gaps: tuple[int, ...] = (1,)
    notes: str | None = None
    limit: int = 2_000_000

    @property
    def by_line(self) -> bool:
        """Whether counting line feeds gives the lines of the file."""
        return self.encoding == "utf-8" and self.looked.facts.one_line_end

    @property
    def expected(self) -> int:
        """Records after the header, counted without DuckDB."""
        if self.counts is not None:
            return self.counts.records
        return self.looked.facts.lines - len(self.gaps)


def open_found(found: FoundFile) -> IO[bytes]:
    """Open a file for reading, never through a link. Raises FileChanged if it is no longer the one found."""
    try:
        handle = os.open(found.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise FileChanged("it is gone or cannot be opened", where=found.name, do="check its permissions") from error
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode) or (info.st_size, info.st_mtime_ns) != (found.size, found.modified_ns):
        os.close(handle)
        raise FileChanged("it changed while it was looked at", where=found.name, do="it is taken once it is still")
    return os.fdopen(handle, "rb")


def look_at(found: FoundFile, work: Path, number: int, settings: Settings, archive: ArchiveWriter | None) -> Looked:
    """Read a file once: hash it, count it, archive it, and have its plain bytes at hand under a safe name.

    Raises FileRejected when its packing is damaged or beyond the limits, FileChanged when it is still written to.
    """
    plain = work / f"{number:06d}.csv"
    sinks: list[Callable[[bytes], object]] = [archive.write] if archive else []
    try:
        with open_found(found) as file:
            kind, chunks = unpacked(file, bytes_of(settings.max_file_bytes), settings.max_ratio)
            if kind is None and _linked(found.path, plain):
                facts = look(chunks, sinks)
            else:
                with open(plain, "wb") as copy:
                    facts = look(chunks, [*sinks, copy.write])
        if archive:
            archive.end()
        if not unchanged(found):
            raise FileChanged("it changed while it was read", where=found.name, do="it is taken once it is still")
    except BaseException:
        plain.unlink(missing_ok=True)
        if archive:
            archive.discard()
        raise
    return Looked(found, facts, kind, plain, archive)


def _linked(path: Path, plain: Path) -> bool:
    """A hard link costs nothing and gives DuckDB a name without glob letters; not every volume allows one."""
    try:
        os.link(path, plain, follow_symlinks=False)
    except OSError:
        return False
    return True


def archive_writer(folder: Path, work: Path, number: int, delivery: Delivery) -> ArchiveWriter:
    """A writer for one file of archive/."""
    return ArchiveWriter(folder, work / f"{number:06d}.zst", delivery)


def make_ready(looked: Looked, source: Source, evolved: set[str], settings: Settings) -> Ready:
    """Find encoding and layout, and stage the file if the fast reader would not read it exactly.

    Raises FileRejected when the file is no CSV or its header does not fit the source.
    """
    facts = looked.facts
    encoding = encoding_of(facts, source.encoding, lambda: plain_chunks(looked.plain))
    refuse_other_formats(facts, encoding)
    layout = _layout(looked, encoding, source, evolved, settings)
    plain = (
        encoding == "utf-8"
        and facts.utf8
        and not facts.nul
        and len(facts.blanks) <= MANY
        and facts.one_line_end
        and not layout.padded
        and layout.lines == 1
        and layout.width > 1
    )
    notes = "the last line has no line end" if facts.ends_open else None
    gaps = (1, *facts.blanks)
    limit = bytes_of(settings.max_line_bytes)
    ready = Ready(looked, layout, encoding, not plain, looked.plain, notes=notes, gaps=gaps, limit=limit)
    if not plain:
        return carefully(ready, settings)
    few = 0 < facts.quotes < facts.newlines / 4 and facts.size < PATCH_BYTES
    return _patch(ready, settings) if few else ready


def _patch(ready: Ready, settings: Settings) -> Ready:
    """Blank out the lines whose quotes are broken, if there are any and that is enough."""
    result = patched(ready.looked.plain.read_bytes(), ready.layout)
    if result is None:
        return carefully(ready, settings)
    lines, pieces = result
    if not lines:
        return ready
    path, broken = (ready.looked.plain.with_suffix(end) for end in (".patched", ".broken"))
    with open(path, "wb") as file:
        file.writelines(pieces)
    with open(broken, "w", encoding="utf-8", newline="") as file_of_broken:
        csv.writer(file_of_broken, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    return replace(ready, path=path, broken=broken)


def _layout(looked: Looked, encoding: str, source: Source, evolved: set[str], settings: Settings) -> Layout:
    text = first_line(looked.facts.head.decode(python_encoding(encoding), "replace"))
    return read_layout(text or _start(looked, encoding), source, evolved, settings.max_columns)


def _start(looked: Looked, encoding: str) -> str:
    """The whole lines of a file's first megabyte, for a header that is long or has lines within quotes."""
    head = next(plain_chunks(looked.plain), b"")
    text = head.decode(python_encoding(encoding), "replace")
    return text if looked.facts.size <= len(head) else text[: text.rfind("\n") + 1] or text


def carefully(ready: Ready, settings: Settings) -> Ready:
    """Stage a file through the careful reader: good records to one file, broken ones to another, and a third
    with the numbers of the lines on which no good record begins (`holes`; those of broken ones left out)."""
    path, broken, holes = (ready.looked.plain.with_suffix(end) for end in (".staged", ".broken", ".holes"))
    counts, grammar = Counts(), Grammar(ready.layout)
    events = read_records(
        plain_chunks(ready.looked.plain), ready.encoding, ready.layout, bytes_of(settings.max_line_bytes)
    )
    with (
        open(path, "wb") as good,
        open(broken, "w", encoding="utf-8", newline="") as bad,
        open(holes, "w", encoding="ascii") as skipped,
    ):
        rejects = csv.writer(bad, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for event in events:
            if isinstance(event, Whole):
                counts.records += len(event.data)
                good.write(_with_one_line_end(event.data))
            elif isinstance(event, Skipped):
                counts.blank += event.blank
                skipped.write(f"{event.line}\n")
            elif event.problem is None:
                counts.records += 1
                good.write(staged(event, grammar))
                skipped.writelines(f"{event.line + place}\n" for place in range(1, event.lines))
            else:
                counts.records += 1
                rejects.writerow((event.line, event.problem, raw_text(event.data)))
    return replace(ready, careful=True, path=path, broken=broken, holes=holes, counts=counts, gaps=())


def _with_one_line_end(lines: list[bytes]) -> bytes:
    data = b"".join(lines)
    if b"\r" in data:
        return b"".join(line.rstrip(b"\r\n") + b"\n" for line in lines)
    return data if data.endswith(b"\n") else data + b"\n"


def plain_chunks(path: Path) -> Iterator[bytes]:
    """The bytes of an unpacked file, a chunk at a time."""
    with open(path, "rb") as file:
        while data := file.read(CHUNK):
            yield data


def _short(name: str) -> str:
    """A path whose last part leaves room for `.error.txt` and a number: a name may have 255 bytes."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + os.fsdecode(os.fsencode(last)[:230])


def reject(found: FoundFile, folder: Path, error: FileRejected) -> None:
    """Move a file to rejected/ with the reason beside it; the reason is written first, nothing is overwritten."""
    name = _short(found.name)
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{name}.{number}"
    reason = target.parent / f"{target.name}.error.txt"
    reason.write_text(f"{found.name}: {error.sentence()}\n", encoding="utf-8")
    os.replace(found.path, target)
