"""A PostgreSQL server that falls silent is given up, not waited for."""

from __future__ import annotations

import socket
import time

import pytest
from psycopg.conninfo import conninfo_to_dict

from pipeline.directquery import server
from pipeline.directquery.server import Server, with_patience
from pipeline.errors import TransientError


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("postgresql://db/gold", "postgresql://db/gold?connect_timeout=10&keepalives_idle=10&"),
        ("postgres://db?sslmode=require", "postgres://db?sslmode=require&connect_timeout=10&"),
        ("postgresql://db/gold?", "postgresql://db/gold?connect_timeout=10&"),
        ("postgresql://db/gold?sslmode=require&", "postgresql://db/gold?sslmode=require&connect_timeout=10&"),
        ("host=db dbname=gold", "connect_timeout=10 keepalives_idle=10 "),
    ],
)
def test_an_address_is_asked_for_with_patience_of_its_own_kind(url: str, asked: str) -> None:
    assert with_patience(url).startswith(asked) and url in with_patience(url)
    assert conninfo_to_dict(with_patience(url)).items() >= {**conninfo_to_dict(url), "keepalives_count": "3"}.items()


def test_what_the_address_says_itself_stands() -> None:
    assert "connect_timeout=10" not in with_patience("postgresql://db?connect_timeout=3")
    assert with_patience(with_patience("postgresql://db")) == with_patience("postgresql://db")


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:{}/gold", "host=127.0.0.1 port={} dbname=gold"])
def test_a_server_that_takes_the_call_and_says_nothing_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(server._PATIENCE, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(TransientError, match="timeout expired"):
            Server(url.format(silent.getsockname()[1]))
        assert time.monotonic() - began < 20
