"""Every error a person can meet: one sentence that says where, what and what to do."""

from __future__ import annotations

_ENDS = ".! "


def first_line(error: object) -> str:
    """The sentence of somebody else's error, without what ends it, its hints and excerpts; its kind if it says nothing."""
    said = str(error).strip().splitlines()
    return said[0].rstrip(_ENDS) if said else type(error).__name__


class GoldfeedError(Exception):
    """Base of all errors meant for a person.

    Args:
        what: what is wrong; a full stop or an exclamation mark at its end is taken off.
        where: the file, line, table or command it was found in.
        do: what to do about it, as an instruction.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        self.what, self.where, self.do = what.rstrip(_ENDS), where, do
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """The whole message: `where: what; do.`"""
        place = f"{self.where}: " if self.where else ""
        advice = f"; {self.do}" if self.do else ""
        said = f"{place}{self.what}{advice}"
        return said if said.endswith("?") else f"{said}."


class PermanentError(GoldfeedError):
    """Trying again cannot help."""


class TransientError(GoldfeedError):
    """The same call may work later: a full disk, a lock, a file still growing."""


class UsageError(PermanentError):
    """The command was typed wrongly."""

    exit_code = 2


class ProjectError(PermanentError):
    """A source, a model or goldfeed.yml is wrong."""


class FileRejected(PermanentError):
    """A whole file cannot be read; it goes to rejected/ and the others go on."""


class AccountingError(PermanentError):
    """Rows do not balance: something was lost or counted twice."""


class PublishError(PermanentError):
    """A version could not be written, verified or found."""


class WarehouseBusy(TransientError):
    """Another process holds the warehouse file."""


class FileChanged(TransientError):
    """A file was written to while it was being read."""


class NotNarrowable(PermanentError):
    """A model's SQL does not show which of its keys a changed row touches: it is rebuilt whole."""


class RequestError(PermanentError):
    """A request to the feed that cannot be answered: the HTTP status, and a code that programs can tell."""

    def __init__(self, what: str, *, status: int, code: str, do: str = "") -> None:
        self.status, self.code = status, code
        super().__init__(what, do=do)
