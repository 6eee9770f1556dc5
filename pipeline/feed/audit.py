"""home/audit/: who read what, one JSON line each; appended to, never written anew; the oldest files go first."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

_FILE = 4_000_000  # bytes after which a new file is begun


class Audit:
    """A series of files `<kind>-000001.jsonl`. Thread-safe; a line is one write, so a crash leaves whole lines.

    Args:
        keep: bytes that the series may take; beyond them the oldest file is removed.
    """

    def __init__(self, folder: Path, kind: str, keep: int) -> None:
        self._folder, self._kind, self._keep = folder, kind, keep
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._number, self._bytes = 0, 0

    def write(self, facts: dict[str, Any]) -> None:
        """Append one line."""
        line = (json.dumps(facts, separators=(",", ":")) + "\n").encode()
        with self._lock:
            if self._handle is None or self._bytes >= _FILE:
                self._begin()
            assert self._handle is not None
            self._bytes += os.write(self._handle, line)

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def files(self) -> list[Path]:
        """The files of the series, oldest first."""
        return sorted(self._folder.glob(f"{self._kind}-[0-9]*.jsonl"))

    def _begin(self) -> None:
        """Go on with the last file, or begin the next if that one is full."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        last = self.files()[-1:]
        number = int(last[0].stem.rpartition("-")[2]) if last else 1
        if last and last[0].stat().st_size >= _FILE:
            number += 1
        path = self._folder / f"{self._kind}-{number:06d}.jsonl"
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._bytes = os.fstat(self._handle).st_size
        self._prune()

    def _prune(self) -> None:
        files = self.files()
        while len(files) > 1 and sum(path.stat().st_size for path in files) > self._keep - _FILE:
            files.pop(0).unlink(missing_ok=True)
