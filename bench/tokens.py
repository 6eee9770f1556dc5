"""What tokens cost: `python -m bench.tokens --rows 2000000`.

pii_token as goldfeed has it (SQL), the same as a Python function for each
value, and the engine's bare sha256, which is no keyed hash: each fills a table
of tokens from a table of e-mail addresses.
"""

from __future__ import annotations

import argparse
import hmac
import secrets
import time
from statistics import median

import duckdb

from bench.common import THREADS
from pipeline.warehouse.masks import install

CALLS = {"sha256": "sha256(email)", "pii_token": "pii_token(email)", "python": "python_token(email)", "mask_email": "mask_email(email)"}


def connection(rows: int) -> duckdb.DuckDBPyConnection:
    """A connection with the masks, the Python function and the table."""
    made, key = duckdb.connect(config={"threads": THREADS}), secrets.token_bytes(32)
    install(made, key)
    made.create_function("python_token", lambda text: hmac.digest(key, text.encode(), "sha256").hex(), ["VARCHAR"], "VARCHAR")
    made.execute(f"CREATE TABLE mails AS SELECT 'person' || range || '@example.com' AS email FROM range({rows})")
    assert made.execute("SELECT count(*) FROM mails WHERE pii_token(email) <> python_token(email) AND email LIKE '%00@%'").fetchall() == [(0,)]
    return made


def seconds(made: duckdb.DuckDBPyConnection, call: str) -> float:
    """Wall seconds to fill a table with the results of a call."""
    began = time.perf_counter()
    made.execute(f"CREATE OR REPLACE TABLE tokens AS SELECT {call} AS token FROM mails").fetchall()
    return time.perf_counter() - began


def main() -> None:
    """Print the medians, and each as a ratio to sha256."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--times", type=int, default=5)
    chosen = parser.parse_args()
    made = connection(chosen.rows)
    found = {name: list[float]() for name in CALLS}
    for _ in range(chosen.times):
        for name, call in CALLS.items():
            found[name].append(seconds(made, call))
    bare = median(found["sha256"])
    for name, taken in found.items():
        print(f"{name:>10}: {median(taken):6.2f} s, {chosen.rows / median(taken):>12,.0f} rows a second, {median(taken) / bare:5.2f} x sha256")


if __name__ == "__main__":
    main()
