"""The masking functions on a connection, and the key of the tokens: made at the first start, kept in secrets/."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb

from pipeline.errors import PermanentError
from pipeline.published import sync

KEY_FILE = "pii.key"
_BYTES, _BLOCK = 32, 64
_WITHOUT_KEY = (
    "CREATE OR REPLACE TEMP MACRO pii_token(value) AS CASE WHEN value IS NOT NULL THEN CAST(error('pii_token works in "
    "runs alone: a connection that only reads has no key') AS VARCHAR) END"
)


def token_key(folder: Path) -> bytes:
    """The key of the tokens, made if there is none: 64 hex digits in a file that its owner alone may read.

    Raises PermanentError when the file holds something else.
    """
    path = folder / KEY_FILE
    if not path.exists():
        _make_key(path)
    text = path.read_text(encoding="ascii", errors="replace").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < _BYTES:
        raise PermanentError(
            "this is no key of at least 64 hex digits", where=str(path), do="put the right one back from your backup"
        )
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_BYTES) + "\n")
    sync(beside)
    os.rename(beside, path)
    sync(path.parent)


def key_id(key: bytes) -> str:
    """What tells one key from another and says nothing of it."""
    return hmac.digest(key, b"goldfeed: the name of this key", "sha256").hex()[:16]


def install(connection: duckdb.DuckDBPyConnection, key: bytes | None) -> None:
    """Give a connection the masking functions; without a key, a pii_token that refuses."""
    connection.execute(_sql("masks"))
    if key is None:
        connection.execute(_WITHOUT_KEY)
        return
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    pads = [bytes(byte ^ mask for byte in block) for mask in (0x36, 0x5C)]
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE pii_pads AS SELECT CAST(? AS BLOB) AS inner_pad, CAST(? AS BLOB) AS outer_pad",
        pads,
    )
    connection.execute(_sql("pii_token"))


@cache
def _sql(name: str) -> str:
    return (files("pipeline.warehouse") / f"{name}.sql").read_text(encoding="utf-8")
