"""A PostgreSQL of the tests' own: a cluster in a temporary folder, reached by a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

_NUMBERS = count()
BINARIES = next(
    iter([*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), *(Path(found).parent for found in [shutil.which("initdb")] if found)]),
    None,
)


class Postgres:
    """The server; each test takes a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def url(self, database: str, user: str = "goldfeed") -> str:
        return f"postgresql:///{database}?host={self.folder}&user={user}"

    def connect(self, database: str, user: str = "goldfeed") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url(database, user), autocommit=True)

    def pg_ctl(self, *words: str) -> None:
        assert BINARIES is not None
        options = f"-c listen_addresses='' -c fsync=off -k {self.folder}"
        _as_nobody(str(BINARIES / "pg_ctl"), "-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log"), "-o", options, *words)


def _as_nobody(*words: str) -> None:
    user = "nobody" if os.getuid() == 0 else None
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/", user=user)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if BINARIES is None:
        pytest.skip("there is no PostgreSQL here: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="gf-pg-", dir="/tmp"))
    if os.getuid() == 0:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    _as_nobody(str(BINARIES / "initdb"), "-D", str(folder / "data"), "-U", "goldfeed", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
    server = Postgres(folder)
    server.pg_ctl("start")
    yield server
    server.pg_ctl("stop", "-m", "immediate")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The name of an empty database."""
    name = f"d{next(_NUMBERS)}"
    with postgres.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return name
