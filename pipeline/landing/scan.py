"""Finding files under landing/, and waiting for those that still grow."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from pipeline.clock import Clock
from pipeline.project.source import Source

_UNFINISHED = (".tmp", ".part")


@dataclass(frozen=True)
class FoundFile:
    """A file under landing/. `name` is its path below landing/, with `/`, as text; `modified_ns` since 1970."""

    path: Path
    name: str
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Landing:
    """What lies under landing/: files by source, in order of name, and those nothing takes."""

    by_source: dict[str, list[FoundFile]] = field(default_factory=dict)
    unmatched: list[FoundFile] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)

    def count(self) -> int:
        """Files that some source takes."""
        return sum(len(found) for found in self.by_source.values())


def scan(landing: Path, sources: Iterable[Source]) -> Landing:
    """List landing/, subfolders too. Links, pipes and devices are never followed or opened."""
    takers_of = _takers(tuple((source.name, tuple(source.files)) for source in sources))
    result = Landing()
    for found in sorted(_walk(landing, ""), key=lambda file: file.name):
        takers = takers_of(found.name)
        if len(takers) == 1:
            result.by_source.setdefault(takers[0], []).append(found)
        elif takers:
            result.ambiguous[found.name] = takers
        else:
            result.unmatched.append(found)
    return result


@lru_cache(maxsize=4)
def _takers(patterns: tuple[tuple[str, tuple[str, ...]], ...]) -> Callable[[str], list[str]]:
    """The names of the sources that take a file. Remembered: with many sources and files the matching is the cost."""

    @lru_cache(maxsize=100_000)
    def takers(name: str) -> list[str]:
        return [source for source, globs in patterns if _matches(name, globs)]

    return takers


def _matches(name: str, patterns: Sequence[str]) -> bool:
    base = name.rpartition("/")[2]
    return any(fnmatchcase(name if "/" in pattern else base, pattern) for pattern in patterns)


def _walk(folder: Path, prefix: str) -> Iterator[FoundFile]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED):
            continue
        try:
            info = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(folder / entry.name, f"{prefix}{as_text(entry.name)}/")
        elif stat.S_ISREG(info.st_mode):
            yield _found(folder, prefix, entry.name, info.st_size, info.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _found(folder: Path, prefix: str, name: str, size: int, modified_ns: int) -> FoundFile:
    """Remembered: when hundreds of flows are due at once, each looks at the files of all (issue 4)."""
    return FoundFile(folder / name, prefix + as_text(name), size, modified_ns)


def as_text(name: str) -> str:
    """A name as the ledger can hold it: bytes that are not UTF-8 as escapes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    return name


def settled(files: Sequence[FoundFile], settle_seconds: float, clock: Clock) -> tuple[list[FoundFile], list[FoundFile]]:
    """Split files into those that have stopped growing and those that have not.

    A file is settled when it has not changed for `settle_seconds`. Fresh ones
    are waited for together, once: after that wait, what has moved is growing.
    """
    fresh = [file for file in files if _age(file, clock) < settle_seconds]
    if not fresh or settle_seconds <= 0:
        return list(files), []
    youngest = max(0.0, min(_age(file, clock) for file in fresh))
    clock.sleep(min(settle_seconds - youngest, settle_seconds))
    growing = {file.name for file in fresh if not unchanged(file)}
    return [file for file in files if file.name not in growing], [file for file in files if file.name in growing]


def _age(file: FoundFile, clock: Clock) -> float:
    return clock.wall_seconds() - file.modified_ns / 1e9


def unchanged(file: FoundFile) -> bool:
    """Whether a file still has the size and time it was found with."""
    try:
        info = os.lstat(file.path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(info.st_mode) and (info.st_size, info.st_mtime_ns) == (file.size, file.modified_ns)


def shown(name: str) -> str:
    """A file name fit for a terminal or a log: odd characters escaped."""
    return (
        name.encode("utf-8", "backslashreplace").decode().encode("unicode_escape").decode()
        if not name.isprintable()
        else name
    )
