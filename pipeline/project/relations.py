"""Names of the temporary relations and variables by which a build hands changed rows and touched keys to SQL."""

from __future__ import annotations

TOUCHED = "touched"  # temporary table: the keys to compute again


def changed_name(table: str) -> str:
    """The temporary relation with the rows that went in or out of a table."""
    return f"changed {table}"


def came_name(table: str) -> str:
    """The temporary relation with the rows that came in."""
    return f"came {table}"


def went_name(table: str) -> str:
    """The temporary relation with the rows that went out."""
    return f"went {table}"


def ever_name(table: str) -> str:
    """The temporary relation with a table's rows as they are and as they were."""
    return f"ever {table}"


def least_name(key: str) -> str:
    """The variable with the least value of a touched key."""
    return f"least {key}"
