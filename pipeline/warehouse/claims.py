"""What the tasks of a run that take in files must agree on."""

from __future__ import annotations

from threading import Lock

from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import last_file_id


class Claims:
    """Numbers for the files of one run, each given once; whether a bronze table was altered."""

    def __init__(self) -> None:
        self._lock, self._last = Lock(), -1
        self.altered = False

    def numbers(self, database: Database, many: int) -> list[int]:
        """The next `many` numbers; those that come to nothing leave a gap."""
        with self._lock:
            if self._last < 0:
                self._last = last_file_id(database)
            first, self._last = self._last + 1, self._last + many
        return list(range(first, first + many))
