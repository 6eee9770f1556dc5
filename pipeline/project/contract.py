"""Contracts: found beside the tables they are about."""

from __future__ import annotations

from pathlib import Path

SUFFIX = ".contract.yml"


def find_contracts(sql: Path) -> dict[str, Path]:
    """`silver.orders` -> the path of its contract file."""
    return {f"{path.parent.name}.{path.name.removesuffix(SUFFIX)}": path for path in sorted(sql.glob(f"*/*{SUFFIX}"))}
