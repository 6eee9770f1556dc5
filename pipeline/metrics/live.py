"""What is true now and stands in no ledger: landing/, the disk, memory, the loop, the feed, the certificate."""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pipeline import __version__
from pipeline.feed.counters import BUCKETS, FeedCounters
from pipeline.landing.scan import FoundFile, Landing, scan
from pipeline.metrics.runs import stamp
from pipeline.metrics.text import Sheet
from pipeline.project.project import Project
from pipeline.published import current, versions
from pipeline.settings import Settings, bytes_of

_ARRIVAL_LIMIT, _SCHEDULE_LIMIT = 3600.0, 25 * 3600.0  # seconds a file may wait
_SIZES_LAST = 60.0  # seconds that the size of a folder is believed
_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of cgroups 2 and 1


@dataclass
class Pulse:
    """What the service tells of itself."""

    next_runs: Callable[[], Mapping[str, datetime | None]] = dict
    turned: Callable[[], datetime | None] = lambda: None
    notifications: Callable[[], Mapping[tuple[str, str], int]] = dict
    users: Callable[[], int | None] = lambda: None
    memory: Callable[[], int] = lambda: 0
    feed: FeedCounters = field(default_factory=FeedCounters)


def read_live(project: Project, pulse: Pulse, sizes: Sizes, sheet: Sheet) -> None:
    """Add all of it."""
    settings = project.settings
    python = ".".join(map(str, sys.version_info[:3]))
    sheet.add("build_info", 1, __version__, duckdb.__version__, python)
    _readers(settings, pulse, sheet)
    _flows(project, pulse, sheet)
    _landing(scan(settings.landing, project.graph.sources.values()), project, sheet)
    _disk(settings, sizes, sheet)
    _memory(settings, pulse, sheet)
    _feed(pulse, sheet)
    _certificate(settings, sheet)


def _readers(settings: Settings, pulse: Pulse, sheet: Sheet) -> None:
    version = current(settings.published)
    sheet.add("publication_damaged", version in pulse.feed.damaged)
    sheet.add("publication_version", int(version) if version and version.isdigit() else 0)
    sheet.add("published_versions", len(versions(settings.published)))


def _flows(project: Project, pulse: Pulse, sheet: Sheet) -> None:
    due = pulse.next_runs()
    for name, flow in project.flows.items():
        sheet.add("sla_limit_seconds", flow.spec.sla, name)
        when = due.get(name)
        if when is not None:
            sheet.add("next_run_timestamp_seconds", stamp(when), name)
        for table in sorted(table for table in flow.tables if table.startswith("gold.")):
            one = flow.spec.tables.get(table)
            limit = (one.freshness if one else None) or flow.spec.freshness
            if limit is not None:
                sheet.add("freshness_limit_seconds", limit, table)
    turned = pulse.turned()
    if turned is not None:
        sheet.add("scheduler_turn_timestamp_seconds", stamp(turned))
    for (channel, outcome), many in sorted(pulse.notifications().items()):
        sheet.add("notifications_total", many, channel, outcome)


def _landing(landing: Landing, project: Project, sheet: Sheet) -> None:
    for source in project.graph.sources.values():
        sheet.add("files_waiting", len(landing.by_source.get(source.name, ())), source.name)
        came = [at for file in landing.by_source.get(source.name, ()) if (at := _came(file)) is not None]
        if came:
            sheet.add("oldest_file_timestamp_seconds", min(came), source.name)
    sheet.add("files_unmatched", len(landing.unmatched) + len(landing.ambiguous))
    for flow in project.flows.values():
        for source in (project.graph.sources[table] for table in flow.tables if table in project.graph.sources):
            limit = _ARRIVAL_LIMIT if flow.spec.on_arrival is not None else _SCHEDULE_LIMIT
            sheet.add("wait_limit_seconds", limit, source.name)


def _came(file: FoundFile) -> float | None:
    """When a file came to lie here, seconds since 1970: a copy may keep the time at which it was written elsewhere."""
    try:
        return os.lstat(file.path).st_ctime
    except FileNotFoundError:
        return None


# ---------------------------------------------------------------- the machine
class Sizes:
    """Sizes of folders, each measured at most once a minute: they may hold many files."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._known: dict[Path, tuple[float, int]] = {}

    def of(self, folder: Path) -> int:
        """Bytes of all files under a folder, hard links once."""
        at, size = self._known.get(folder, (float("-inf"), 0))
        if self._seconds() - at >= _SIZES_LAST:
            size = _size(folder)
            self._known[folder] = (self._seconds(), size)
        return size


def _size(folder: Path) -> int:
    seen: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                info = os.lstat(f"{place}/{name}")
            except FileNotFoundError:
                continue
            seen[info.st_dev, info.st_ino] = info.st_size
    return sum(seen.values())


def _disk(settings: Settings, sizes: Sizes, sheet: Sheet) -> None:
    files = [settings.warehouse, settings.warehouse.with_name(settings.warehouse.name + ".wal")]
    sheet.add("database_size_bytes", sum(path.stat().st_size for path in files if path.exists()))
    sheet.add("archive_size_bytes", sizes.of(settings.archive))
    sheet.add("published_size_bytes", sizes.of(settings.published))
    usage = shutil.disk_usage(settings.home)
    sheet.add("disk_free_bytes", usage.free)
    sheet.add("disk_size_bytes", usage.total)


def _memory(settings: Settings, pulse: Pulse, sheet: Sheet) -> None:
    sheet.add("memory_limit_bytes", memory_limit())
    sheet.add("duckdb_memory_bytes", pulse.memory())
    sheet.add("duckdb_memory_limit_bytes", bytes_of(settings.memory_limit))


def memory_limit(cgroup: Path = _CGROUP) -> int:
    """The limit of the container, or the memory of the machine where there is none."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _LIMITS:
        try:
            text = (cgroup / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        return min(int(text), machine) if text.isdigit() else machine
    return machine


# ---------------------------------------------------------------- the feed
def _feed(pulse: Pulse, sheet: Sheet) -> None:
    for route, count in sorted(pulse.feed.read().items()):
        for status, many in sorted(count.statuses.items()):
            sheet.add("feed_requests_total", many, route, str(status))
        sheet.histogram("feed_request_duration_seconds", BUCKETS, count.durations, count.seconds, route)
        sheet.add("feed_rows_total", count.rows, route)
        sheet.add("feed_sent_bytes_total", count.bytes, route)
    users = pulse.users()
    if users is not None:
        sheet.add("feed_users", users)


def _certificate(settings: Settings, sheet: Sheet) -> None:
    if settings.tls_certificate:
        end = certificate_end(Path(settings.tls_certificate))
        sheet.add("certificate_expiry_timestamp_seconds", end.timestamp())


def certificate_end(path: Path) -> datetime:
    """The end of a PEM file's first certificate. Raises ValueError or OSError when it cannot be read.

    X.509 (RFC 5280): the validity is the fourth or fifth part of what is signed, two times.
    """
    text = path.read_text(encoding="ascii")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    body = text[text.index(begin) : text.index(end) + len(end)]
    signed = _parts(_parts(ssl.PEM_cert_to_DER_cert(body))[0][1])[0][1]
    validity = next(inner for tag, value in _parts(signed) if tag == 0x30 and (inner := _times(value)) is not None)
    tag, value = validity[1]
    return datetime.strptime(value.decode(), "%y%m%d%H%M%SZ" if tag == 0x17 else "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _times(value: bytes) -> list[tuple[int, bytes]] | None:
    parts = _parts(value)
    return parts if len(parts) == 2 and all(tag in (0x17, 0x18) for tag, _ in parts) else None


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    """(tag, content) of DER values that stand one after another."""
    found, place = [], 0
    while place < len(data):
        tag, length, place = data[place], data[place + 1], place + 2
        if length & 0x80:
            width = length & 0x7F
            length, place = int.from_bytes(data[place : place + width], "big"), place + width
        found.append((tag, data[place : place + length]))
        place += length
    return found
