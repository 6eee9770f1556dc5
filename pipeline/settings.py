"""Settings: one table, from which the values, the docs and the checks come."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipeline.errors import ProjectError, UsageError


def _size(text: str) -> str:
    number = text.upper().removesuffix("B").rstrip("KMGTI")
    if not number.replace(".", "", 1).isdigit() or not text.upper().endswith("B"):
        raise ValueError("a size such as 800MB or 2GB")
    return text


def _count(text: str) -> int:
    if not str(text).isdigit() or int(text) < 1:
        raise ValueError("a whole number of at least 1")
    return int(text)


def _port(text: str) -> int:
    if not str(text).isdigit() or not 0 <= int(text) <= 65535:
        raise ValueError("a port number from 0 to 65535")
    return int(text)


def _share(text: str) -> float:
    value = float(text.removesuffix("%"))
    if not 0 < value <= 100:
        raise ValueError("a share such as 50%")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 86_400:
        raise ValueError("a number of seconds from 0 to 86400")
    return value


def _yes(text: str) -> bool:
    if str(text).lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise ValueError("true or false")
    return str(text).lower() in ("true", "1", "yes")
def _hours(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 8760:
        raise ValueError("a number of hours from 0 to 8760")
    return value


@dataclass(frozen=True)
class Setting:
    """One row of the table: its name, the text of its default, its help and its parser."""

    name: str
    default: str
    help: str
    parse: Callable[[str], Any]

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return f"GOLDFEED_{self.name.upper()}"


SETTINGS = (
    Setting("memory_limit", "1GB", "Memory DuckDB may use before it spills to disk", _size),
    Setting("threads", str(os.cpu_count() or 2), "Threads DuckDB uses (default: the cores)", _count),
    Setting("settle_seconds", "1", "A file must be unchanged this long before it is taken", _seconds),
    Setting("keep_versions", "10", "Published versions kept for readers and rollback", _count),
    Setting("parts_above", "300000", "A published table with more rows is cut into parts, by its key", _count),
    Setting("part_rows", "150000", "Rows of such a part, about; only parts with changes are written anew", _count),
    Setting("full_check_hours", "24", "A contract looks at all rows again after so many hours, else at changed ones", _hours),
    Setting("check_whole_below", "100000", "A table of up to so many rows is checked whole, unless a query of its contract has `${var.changed}`", _count),
    Setting("compact_above", "50%", "After a run the warehouse is written anew if more of it is free", _share),
    Setting("compact_from", "256MB", "A smaller warehouse file is left as it is", _size),
    Setting("group_bytes", "64MB", "CSV read into one transaction: more is faster, less is leaner", _size),
    Setting("http_host", "127.0.0.1", "Address on which the service answers", str),
    Setting("http_port", "8080", "Port on which the service answers", _port),
    Setting("metrics_port", "9464", "Port on which Prometheus finds the metrics", _port),
    Setting("tls_certificate", "", "File with the certificate (PEM, its chain behind it): serve https", str),
    Setting("tls_key", "", "File with the certificate's private key (PEM)", str),
    Setting("allow_plain_http", "false", "Take passwords over plain HTTP from other machines too", _yes),
    Setting("trusted_proxies", "", "Addresses whose X-Forwarded-For and -Proto are believed, with commas", str),
    Setting("requests_per_minute", "6000", "Requests that one user may send in a minute", _count),
    Setting("exports_bytes", "2GB", "Files made for readers that are kept, at most", _size),
    Setting("query_seconds", "120", "A reader's question that takes longer is ended", _seconds),
    Setting("queries_at_once", "8", "Readers' questions answered at the same time; others wait in a queue", _count),
    Setting("audit_bytes", "200MB", "The record of who read what takes no more; the oldest go first", _size),
    Setting("max_file_bytes", "100GB", "A larger file (unpacked) is rejected", _size),
    Setting("max_ratio", "200", "A compressed file that unpacks to more times its size is rejected", _count),
    Setting("max_line_bytes", "2MB", "A longer line is set aside", _size),
    Setting("postgres_url", "", "PostgreSQL that reports ask (DirectQuery); its password: PGPASSWORD or PGPASSFILE", str),
    Setting("max_columns", "2000", "A file with more columns is rejected", _count),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_UNITS = {"K": 1_000, "M": 1_000_000, "G": 1_000_000_000, "T": 1_000_000_000_000}


def bytes_of(size: str) -> int:
    """`2GB` -> 2000000000; `1MiB` -> 1048576."""
    text = size.upper().removesuffix("B")
    base = 1024 if text.endswith("I") else 1000
    text = text.removesuffix("I")
    if text and text[-1] in _UNITS:
        power = "KMGT".index(text[-1]) + 1
        return int(float(text[:-1]) * base**power)
    return int(float(text))


@dataclass(frozen=True)
class Settings:
    """The values in force. `home` and `project` are folders; sizes are texts as DuckDB takes them."""

    home: Path
    project: Path
    memory_limit: str
    threads: int
    settle_seconds: float
    keep_versions: int
    parts_above: int
    part_rows: int
    full_check_hours: float
    check_whole_below: int
    compact_above: float
    compact_from: str
    http_host: str
    http_port: int
    metrics_port: int
    tls_certificate: str
    tls_key: str
    allow_plain_http: bool
    trusted_proxies: str
    requests_per_minute: int
    exports_bytes: str
    query_seconds: float
    queries_at_once: int
    audit_bytes: str
    group_bytes: str
    max_file_bytes: str
    max_ratio: int
    max_line_bytes: str
    max_columns: int
    postgres_url: str = field(repr=False)  # a password may stand in it

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    @property
    def archive(self) -> Path:
        return self.home / "archive"

    @property
    def rejected(self) -> Path:
        return self.home / "rejected"

    @property
    def published(self) -> Path:
        return self.home / "published"

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def audit(self) -> Path:
        return self.home / "audit"

    @property
    def scratch(self) -> Path:
        return self.home / "tmp"


def _value(setting: Setting, text: str, where: str) -> Any:
    try:
        return setting.parse(str(text))
    except ValueError as error:
        raise UsageError(f"{setting.name} is {text!r} but must be {error}", where=where, do="correct it") from error


def _check_names(given: Mapping[str, Any], where: str) -> None:
    for name in given:
        if name not in _BY_NAME:
            near = get_close_matches(name, _BY_NAME, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_BY_NAME)}"
            raise ProjectError(f"there is no setting {name!r}", where=where, do=hint)


def load_settings(
    project: Path, *, home: Path | None, given: Mapping[str, Any], environ: Mapping[str, str]
) -> Settings:
    """Defaults, then `settings:` of goldfeed.yml, then GOLDFEED_* variables.

    Raises ProjectError for an unknown name and UsageError for a value that cannot be read.
    """
    _check_names(given, str(project / "goldfeed.yml"))
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text, where = setting.default, "default"
        if setting.name in given:
            text, where = str(given[setting.name]), str(project / "goldfeed.yml")
        if environ.get(setting.variable):
            text, where = environ[setting.variable], setting.variable
        values[setting.name] = _value(setting, text, where)
    chosen = home or (Path(environ["GOLDFEED_HOME"]) if environ.get("GOLDFEED_HOME") else project / "data")
    return Settings(home=chosen.absolute(), project=project, **values)
