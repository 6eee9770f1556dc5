"""The versions that readers have open: each verified once, a few kept open, the current one found at each request."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from pipeline.errors import PublishError, RequestError
from pipeline.feed.snapshot import Snapshot, open_snapshot
from pipeline.published import current, versions
from pipeline.settings import Settings

_OPEN = 4  # versions kept open; a reader that pages through an older one opens it again


class Library:
    """Open snapshots by version. Thread-safe; a snapshot is shared, each query takes its own `cursor()`."""

    def __init__(self, settings: Settings, damaged: Callable[[str], None] = lambda version: None) -> None:
        self._settings, self._damaged = settings, damaged
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Snapshot] = OrderedDict()
        self._refused: dict[str, str] = {}  # damaged versions, and the version served instead

    def current(self) -> Snapshot:
        """The current version, or the newest intact one below it.

        Raises RequestError (503) when nothing is published or no version is intact.
        """
        pointed = current(self._settings.published)
        if pointed is None:
            raise _unavailable("nothing is published yet", "drop files and wait for the first run")
        with self._lock:
            return self._get(self._refused.get(pointed, pointed), asked=None)

    def is_ready(self) -> bool:
        """Whether `current` has nothing to open: opening reads all files of a version, to verify them."""
        pointed = current(self._settings.published)
        return pointed is None or self._refused.get(pointed, pointed) in self._open

    def version(self, name: str) -> Snapshot:
        """This version. Raises RequestError (410) when it is no longer there, or damaged."""
        if name not in versions(self._settings.published):
            raise RequestError(
                f"version {name} is no longer kept", status=410, code="VersionGone", do="start again without a version"
            )
        with self._lock:
            return self._get(name, asked=name)

    def _get(self, name: str, asked: str | None) -> Snapshot:
        found = self._open.get(name)
        if found is None:
            found = self._opened(name, asked)
            self._open[found.version] = found
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)  # its cursors keep the database open until they end
        self._open.move_to_end(found.version)
        return found

    def _opened(self, name: str, asked: str | None) -> Snapshot:
        try:
            snapshot = open_snapshot(self._settings, asked)
        except PublishError as error:
            if asked:
                raise RequestError(error.what, status=410, code="VersionGone", do="start again") from error
            self._damaged(name)
            raise _unavailable(error.what, error.do) from error
        if snapshot.version != name:
            self._damaged(name)
            self._refused[name] = snapshot.version
        return self._open.get(snapshot.version, snapshot)


def _unavailable(what: str, do: str) -> RequestError:
    return RequestError(what, status=503, code="NothingPublished", do=do)
