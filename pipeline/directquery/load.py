"""A published version into PostgreSQL: loaded beside, indexed, granted, analyzed, then swapped in by one rename."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.directquery.grants import Roles, granted, role_name, with_reader
from pipeline.directquery.own import own_tables
from pipeline.directquery.server import Server
from pipeline.directquery.tables import create, fits, indexes, selected
from pipeline.errors import PermanentError, PublishError, TransientError
from pipeline.feed.snapshot import Snapshot, open_snapshot
from pipeline.powerbi.roles import roles_of
from pipeline.published import current, read_manifest
from pipeline.settings import Settings
from pipeline.sql import literal, quoted

SCHEMA = "gold"
NEXT, OLD = f"{SCHEMA}_next", f"{SCHEMA}_old"
_TRIES, _DROPS, _PAUSE = 25, 3, 0.2  # about ten seconds, and one
# Shorter than the second after which PostgreSQL looks for deadlocks: if a reader and the load wait for each other it is
# the load that gives way, never the reader.
_WAIT = "200ms"
_LOCK = 7_240_611_854_203_119  # one loader at a time, whoever else uses advisory locks


def load(settings: Settings, url: str, project: Path) -> tuple[str, int]:
    """Load the current version unless the server has it. Returns the version and the rows loaded (0: it was there).

    Raises PublishError when nothing is published, TransientError when the server cannot be reached or is busy.
    """
    server = Server(url)
    try:
        if server.rows(f"SELECT pg_try_advisory_lock({_LOCK})") != [(True,)]:
            raise TransientError("another load is under way", where="directquery", do="wait for it")
        there, roles = loaded_version(server), roles_of(project)
        if version := _current_if(there, settings, roles):
            return version, 0
        snapshot = open_snapshot(settings)
        if there == _stamp(snapshot.version, snapshot.manifest, roles):
            return snapshot.version, 0
        return snapshot.version, _load(server, snapshot, settings, roles)
    finally:
        server.close()


def _current_if(there: str | None, settings: Settings, roles: Roles) -> str | None:
    """The current version if the server says it has it.

    By the manifest alone: whoever looks every second must not hash all of gold each time. And a version that was
    damaged since it was loaded is whole in the server.
    """
    version = current(settings.published) or ""
    with suppress(PublishError):
        if there == _stamp(version, read_manifest(settings.published, version), roles):
            return version
    return None


def _stamp(version: str, manifest: Mapping[str, Any], roles: Roles) -> str:
    """What the schema's comment says: the version, and a hash of the roles it was loaded for."""
    said = hashlib.sha256(repr(sorted(roles.items())).encode()).hexdigest()[:16]
    return f"goldfeed {version} {manifest.get('published_at')} roles {said}"


def loaded_version(server: Server) -> str | None:
    """The comment of the schema that readers see, or None."""
    found = server.rows(
        f"SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = {literal(SCHEMA)}"
    )
    return found[0][0] if found else None


def _load(server: Server, snapshot: Snapshot, settings: Settings, declared: Roles) -> int:
    tables: dict[str, Any] = snapshot.manifest["tables"]
    roles, stamp = with_reader(declared), _stamp(snapshot.version, snapshot.manifest, declared)
    _check_names(tables)
    _clear(server)
    server.run(f"CREATE SCHEMA {quoted(NEXT)}")
    rows = sum(_copy(server, snapshot, name, table) for name, table in tables.items())
    own = _own_tables(server, snapshot, settings)
    _make_roles(server, roles)
    server.run(*granted(NEXT, {**tables, **own}, roles))
    server.run(f"COMMENT ON SCHEMA {quoted(NEXT)} IS {literal(stamp)}")
    server.commit()
    server.run(*(f"ANALYZE {quoted(NEXT)}.{quoted(name)}" for name in [*tables, *own]))
    server.commit()
    _swap(server)
    return rows


def _check_names(tables: Mapping[str, Any]) -> None:
    for name, table in tables.items():
        for one in [name, *(column["name"] for column in table["columns"])]:
            if not fits(one):
                raise PermanentError(
                    f"the name {one} is too long for PostgreSQL", where=f"gold.{name}", do="shorten it to 63 bytes"
                )


def _clear(server: Server) -> None:
    """What a load that was cut off, or a reader that held on, left behind."""
    server.run(f"SET lock_timeout = {literal(_WAIT)}", f"DROP SCHEMA IF EXISTS {quoted(NEXT)} CASCADE")
    server.commit()
    for (name,) in server.rows(f"SELECT nspname FROM pg_namespace WHERE nspname LIKE {literal(OLD + '%')}"):
        _drop(server, name)


def _copy(server: Server, snapshot: Snapshot, name: str, table: Mapping[str, Any]) -> int:
    """Create, fill and index a table. In one transaction with its creation PostgreSQL need not log the rows twice."""
    server.run(create(NEXT, name, table["columns"]))
    rows = server.copy(NEXT, name, snapshot.connection.sql(selected(table["columns"], name)))
    if rows not in (-1, table["rows"]):
        raise PermanentError(
            f"{rows:,} rows of {table['rows']:,} arrived", where=f"directquery: {name}", do="load it again"
        )
    server.run(*indexes(NEXT, name, table))
    return int(table["rows"])


def _own_tables(server: Server, snapshot: Snapshot, settings: Settings) -> dict[str, Any]:
    """`_feed` and `_freshness`, as the feed has them. Returns them as a manifest would."""
    made: dict[str, Any] = {}
    for name, (columns, rows) in own_tables(snapshot, settings).items():
        made[name] = {"columns": columns, "rows": len(rows)}
        server.run(create(NEXT, name, columns))
        for row in rows:
            values = ", ".join("NULL" if value is None else literal(str(value)) for value in row)
            server.run(f"INSERT INTO {quoted(NEXT)}.{quoted(name)} VALUES ({values})")
    return made


def _make_roles(server: Server, roles: Roles) -> None:
    there = {name for (name,) in server.rows("SELECT rolname FROM pg_roles")}
    for role in roles:
        if role_name(role) not in there:
            server.run(f"CREATE ROLE {quoted(role_name(role))} NOLOGIN")


def _swap(server: Server) -> None:
    """One transaction: a reader sees all of the old version or all of the new, under the same names."""
    there = bool(server.rows(f"SELECT 1 FROM pg_namespace WHERE nspname = {literal(SCHEMA)}"))
    old = f"{OLD}_{server.rows('SELECT txid_current()')[0][0]}"
    if there:
        _lock_out(server)
        server.run(f"ALTER SCHEMA {quoted(SCHEMA)} RENAME TO {quoted(old)}")
    server.run(f"ALTER SCHEMA {quoted(NEXT)} RENAME TO {quoted(SCHEMA)}")
    server.commit()
    if there:
        _drop(server, old)


def _lock_out(server: Server) -> None:
    """Take all tables, so that no statement finds half its tables renamed.

    While it waits for the readers of a table new ones wait behind it, at most `_WAIT`; then it lets all go and tries
    again. If some reader holds on for ten seconds it goes on without: then a statement that names two tables could
    meet both versions.
    """
    query = f"SELECT tablename FROM pg_tables WHERE schemaname = {literal(SCHEMA)} ORDER BY 1"
    names = ", ".join(f"{quoted(SCHEMA)}.{quoted(name)}" for (name,) in server.rows(query))
    for _ in range(_TRIES if names else 0):
        try:
            server.run(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
        except TransientError:
            server.undo()
            time.sleep(_PAUSE)
        else:
            return


def _drop(server: Server, schema: str) -> None:
    """Remove an old version; while a reader holds it, it stays for the next load to remove."""
    for _ in range(_DROPS):
        try:
            server.run(f"DROP SCHEMA {quoted(schema)} CASCADE")
            server.commit()
        except TransientError:
            server.undo()
            time.sleep(_PAUSE)
        else:
            return
