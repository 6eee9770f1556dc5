"""Roles of goldfeed.yml hold in PostgreSQL: tables, columns, rows, personal data."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pipeline.directquery.grants import granted, role_name, with_reader
from pipeline.errors import ProjectError
from tests.directquery.conftest import Postgres

TABLES: dict[str, Any] = {
    "customers": {
        "columns": [
            {"name": "id", "type": "INTEGER"}, {"name": "country", "type": "VARCHAR"}, {"name": "email", "type": "VARCHAR", "pii": "email"},
            {"name": "shown", "type": "VARCHAR", "pii": "email", "masked": True},
        ]
    },
    "orders": {"columns": [{"name": "id", "type": "INTEGER"}, {"name": "seller", "type": "VARCHAR"}]},
    "_feed": {"columns": [{"name": "version", "type": "VARCHAR"}]},
}  # fmt: skip
ROLES: dict[str, Any] = {
    "german": {"tables": ["gold.cust*"], "rows": {"customers": "country = 'DE' OR country IN ('AT')"}},
    "seller": {"tables": ["orders"], "rows": {"gold.orders": "seller = $user"}},
    "narrow": {"columns": {"customers": ["id"]}, "rows": {"customers": "country <> 'DE'"}},
    "privacy": {"pii": "clear"},
}


@pytest.fixture
def granted_database(postgres: Postgres, database: str) -> str:
    with postgres.connect(database) as owner:
        owner.execute("CREATE SCHEMA gold")
        owner.execute("CREATE TABLE gold.customers (id integer, country text, email text, shown text)")
        owner.execute("INSERT INTO gold.customers VALUES (1, 'DE', 'a@x', 'a***'), (2, 'AT', 'b@x', 'b***'), (3, NULL, 'c@x', 'c***'), (4, 'FR', NULL, NULL)")
        owner.execute("CREATE TABLE gold.orders (id integer, seller text)")
        owner.execute("INSERT INTO gold.orders VALUES (1, 'anna'), (2, 'bert')")
        owner.execute("CREATE TABLE gold._feed (version text)")
        owner.execute("INSERT INTO gold._feed VALUES ('000001')")
        there = {row[0] for row in owner.execute("SELECT rolname FROM pg_roles").fetchall()}
        for role in with_reader(ROLES):
            if role_name(role) not in there:
                owner.execute(f"CREATE ROLE {role_name(role)} NOLOGIN")
        for who, role in {"anna": "seller", "gustav": "german", "nora": "narrow", "rita": "reader", "paul": "privacy"}.items():
            if who not in there:
                owner.execute(f"CREATE ROLE {who} LOGIN IN ROLE {role_name(role)}")
        if "nobody_here" not in there:
            owner.execute("CREATE ROLE nobody_here LOGIN")
        for statement in granted("gold", TABLES, with_reader(ROLES)):
            owner.execute(statement)
    return database


def asked(postgres: Postgres, database: str, who: str, sql: str) -> Any:
    """The first column of what a user gets, or the name of the refusal."""
    with postgres.connect(database, who) as connection:
        try:
            return sorted(row[0] for row in connection.execute(sql).fetchall())
        except psycopg.Error as error:
            return type(error).__name__


@pytest.mark.slow
def test_each_user_sees_the_rows_columns_and_tables_of_the_role_and_no_others(postgres: Postgres, granted_database: str) -> None:
    refused = "InsufficientPrivilege"
    expected = {
        ("gustav", "SELECT id FROM gold.customers"): [1, 2],
        ("gustav", "SELECT shown FROM gold.customers"): ["a***", "b***"],
        ("gustav", "SELECT email FROM gold.customers"): refused,
        ("gustav", "SELECT id FROM gold.orders"): refused,
        ("gustav", "SELECT version FROM gold._feed"): ["000001"],
        ("anna", "SELECT id FROM gold.orders"): [1],
        ("anna", "SELECT id FROM gold.customers"): refused,
        ("nora", "SELECT id FROM gold.customers"): [2, 4],
        ("nora", "SELECT country FROM gold.customers"): refused,
        ("nora", "SELECT id FROM gold.orders"): [1, 2],
        ("rita", "SELECT id FROM gold.customers"): [1, 2, 3, 4],
        ("rita", "SELECT email FROM gold.customers"): refused,
        ("paul", "SELECT email FROM gold.customers WHERE email IS NOT NULL"): ["a@x", "b@x", "c@x"],
        ("nobody_here", "SELECT version FROM gold._feed"): refused,
        ("rita", "DELETE FROM gold.orders RETURNING id"): refused,
    }
    assert {key: asked(postgres, granted_database, *key) for key in expected} == expected


def test_a_rule_that_is_no_condition_is_refused() -> None:
    for text in ("SELECT 1", "country = ", "DROP TABLE x"):
        with pytest.raises(ProjectError, match="rows of customers for the role bad"):
            granted("gold", TABLES, {"bad": {"rows": {"customers": text}}})


def test_a_rule_cannot_end_its_statement() -> None:
    with pytest.raises(ProjectError):
        granted("gold", TABLES, {"bad": {"rows": {"customers": "true) ; DROP TABLE gold.orders; --"}}})


def test_a_role_with_too_long_a_name_is_refused() -> None:
    with pytest.raises(ProjectError, match="too long"):
        granted("gold", TABLES, {"x" * 60: {}})
