"""A PostgreSQL server, reached by ADBC: statements, small results, and whole tables by COPY."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import PermanentError, TransientError, first_line

_WHERE = "directquery"
_STATE = re.compile(r"SQLSTATE: (\w{5})")
# what may pass: no connection, too many, locks, disk or memory full, shutting down
_PASSING = ("08", "40", "53", "55P03", "57P")

# a server whose machine is gone sends no word of it: without these a look at it took minutes, a connection that waits for its answer hours
_PATIENCE = {  # seconds, seconds, seconds, times, milliseconds
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def with_patience(url: str) -> str:
    """An address, as URL or `name=value` words, with how long a silent server is waited for where it does not say so itself."""
    told = [f"{name}={value}" for name, value in _PATIENCE.items() if f"{name}=" not in url]
    if not url.startswith(("postgresql://", "postgres://")):
        return " ".join([*told, url])
    bare = url.rstrip("?&")  # which may end it, but two of them may not follow each other
    return f"{bare}{'&' if '?' in bare else '?'}{'&'.join(told)}" if told else url


def without_password(text: str, url: str) -> str:
    """What the driver says of a connection, without what it quotes of the password: of a URL it cannot read it shows parts."""
    password = url.rpartition("@")[0].rpartition("://")[2].partition(":")[2] + " " + url.partition("passw")[2]

    def shown(quoted: re.Match[str]) -> str:
        plain = re.fullmatch(r"[\w.:/=-]+", quoted[1]) and quoted[1] not in password
        return quoted[0] if plain else "(not shown)"

    return re.sub(r'"([^"]*)"', shown, text)


class Server:
    """One connection, in a transaction until `commit`. Raises TransientError or PermanentError, never the driver's."""

    def __init__(self, url: str) -> None:
        import adbc_driver_postgresql.dbapi as postgres

        self._error: type[Exception] = postgres.Error
        with self._told(url):
            self._connection = postgres.connect(with_patience(url))

    def close(self) -> None:
        """Close it; what was not committed is undone."""
        with self._told():
            self._connection.close()

    def run(self, *statements: str) -> None:
        """Run statements that give no rows."""
        for statement in statements:
            with self._told(), self._connection.cursor() as cursor:
                cursor.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a small result."""
        import nanoarrow

        with self._told(), self._connection.cursor() as cursor:
            cursor.execute(query)
            stream = nanoarrow.ArrayStream(cursor.fetch_arrow())
            return [tuple(row.values()) for array in stream for row in array.to_pylist()]

    def copy(self, schema: str, table: str, data: Any) -> int:
        """Append Arrow data (anything with `__arrow_c_stream__`) to a table by COPY. Returns the rows."""
        with self._told(), self._connection.cursor() as cursor:
            return int(cursor.adbc_ingest(table, data, mode="append", db_schema_name=schema))

    def commit(self) -> None:
        with self._told():
            self._connection.commit()

    def undo(self) -> None:
        with self._told():
            self._connection.rollback()

    @contextmanager
    def _told(self, url: str = "") -> Iterator[None]:
        """The driver's errors as sentences. What it says may hold values of the data: only its first line is kept,
        and where it says something of `url` nothing of the password in that.
        """
        try:
            yield
        except self._error as error:
            state = _STATE.search(str(error))
            code = state[1] if state else "08000"
            what, cause = (without_password(first_line(error), url), None) if url else (first_line(error), error)
            if code.startswith(_PASSING):
                raise TransientError(f"PostgreSQL: {what}", where=_WHERE, do="it is tried again") from cause
            raise PermanentError(f"PostgreSQL: {what}", where=_WHERE, do="see docs/powerbi.md") from cause
