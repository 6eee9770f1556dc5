"""archive/mends/: what people did about rows in quarantine, kept beside the raw files.

A mend belongs to a line of a file, by the file's SHA-256, so it holds whenever
that file is read: again for a backfill, or from the archive after the warehouse
is lost. One JSON file a command; later ones win.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pipeline.errors import PermanentError
from pipeline.failpoints import failpoint
from pipeline.published import sync

FOLDER = "mends"


@dataclass(frozen=True)
class Mend:
    """`fix`: `text` stands for the line. `drop`: the row stays out of `table` (a source or a model), and `why`."""

    table: str
    sha256: str
    line: int
    action: Literal["fix", "drop"]
    text: str | None = None
    why: str | None = None


def keep_mends(archive: Path, mends: Sequence[Mend], now: datetime) -> str:
    """Write mends durably, all or none. Returns the name of their file; names sort by time."""
    folder = archive / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    body = json.dumps({"made_at": now.isoformat(), "mends": [asdict(mend) for mend in mends]}, ensure_ascii=False)
    name = f"{now:%Y%m%dT%H%M%S%f}-{hashlib.sha256(body.encode()).hexdigest()[:12]}.json"
    beside = folder / f".{name}.new"
    beside.write_text(body, encoding="utf-8")
    sync(beside)
    failpoint("mend.before_rename")
    os.replace(beside, folder / name)
    sync(folder)
    sync(archive)
    failpoint("mend.after_rename")
    return name


def kept_mends(archive: Path) -> list[str]:
    """The names of the files of mends, oldest first."""
    return sorted(path.name for path in (archive / FOLDER).glob("*.json") if not path.name.startswith("."))


def read_mends(archive: Path, name: str) -> tuple[datetime, list[Mend]]:
    """When a file of mends was made, and what is in it. Raises PermanentError when it is damaged."""
    path = archive / FOLDER / name
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return datetime.fromisoformat(found["made_at"]), [Mend(**one) for one in found["mends"]]
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError("this file of mends is damaged", where=str(path), do="restore it from a backup") from error
