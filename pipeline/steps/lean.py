"""What is used of Soda, and nothing else of it.

Its command line, telemetry and cloud are not imported (a third of a second,
and they are what could send something), its reports in the log are not drawn,
its queries for DuckDB are written so that the engine answers them from
statistics where it can, and large tables are looked at as `large` does it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType, new_class
from typing import Any

import duckdb

from pipeline.project.contract import DATABASE
from pipeline.sql import literal, table_name
from pipeline.steps.distinct import count_distinct
from pipeline.steps.large import bundler, count_each

_LEFT_OUT = ("soda_core.plugins", "soda_core.contracts.api", "soda_core.common.soda_cloud", "tabulate")
_SAME_TYPES = (  # Soda takes an integer for a decimal
    ["varchar", "text", "string", "char"],
    ["decimal", "numeric"],
    ["integer", "int", "int4"],
    ["bigint", "int8"],
    ["float", "float4", "real"],
    ["double", "float8", "double precision"],
    ["boolean", "bool"],
    ["timestamp", "datetime", "timestamp without time zone"],
    ["timestamptz", "timestamp with time zone"],
)


@dataclass(frozen=True)
class Look:
    """How a table is looked at: a large one by proofs and statistics."""

    large: bool = False


@dataclass
class Soda:
    """The parts of Soda, imported. `seen`: the condition of each row check of the last contract, by its path."""

    session: Any
    source: Any
    data_source: Callable[[duckdb.DuckDBPyConnection, Look], Any]
    seen: dict[str, str]


class _Nothing(ModuleType):
    """Stands for a module that is left out; each of its names is a class of nothing."""

    class Name:
        def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.Name


def imported() -> Soda:
    """Import Soda. `SODA_CORE_TELEMETRY_ENABLED` must have been set before."""
    with _left_out():
        return _made()


@contextmanager
def _left_out() -> Iterator[None]:
    """Modules that nothing here calls are not imported within: each is an empty one for so long."""
    stands = {name: _Nothing(name) for name in _LEFT_OUT if name not in sys.modules}
    sys.modules.update(stands)
    try:
        yield
    finally:
        for name in stands:
            del sys.modules[name]


def _made() -> Soda:
    from soda_core.contracts.contract_verification import ContractVerificationSession
    from soda_core.contracts.impl import contract_verification_impl as impl
    from soda_core.contracts.impl.check_types.check_types import CoreCheckTypesPlugin

    import_module("soda_core.check_collections.session")  # else the first contract imports it, and the cloud with it
    CoreCheckTypesPlugin.register_check_types()
    seen: dict[str, str] = {}

    def hear(_: Any, contract_impl: Any, *__: Any, **___: Any) -> None:
        """Hears of each verified contract, with the very conditions that Soda counted by."""
        for check in contract_impl.all_check_impls:
            condition = _condition(check, contract_impl.data_source_impl.sql_dialect)
            if condition:
                seen[check.relative_path] = condition

    methods = {"handle": hear, "provides_post_processing_stages": lambda _: []}
    listener = type("Listener", (impl.ContractVerificationHandler,), methods)
    impl.ContractVerificationHandlerRegistry.register(listener())
    _without_reports(impl)
    return Soda(ContractVerificationSession, _source(), _data_source(), seen)


def _source() -> Any:
    """A contract as JSON: Soda's own YAML reader takes longer than all its checks of a small table."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from soda_core.common.yaml import ContractYamlSource, FileType, YamlObject

    # Soda copies deeply what it reads, again and again, so that its variables do not get into the original; this is none
    uncopied = {"__deepcopy__": lambda self, _: self}
    mapping, sequence = type("Map", (CommentedMap,), uncopied), type("Seq", (CommentedSeq,), uncopied)

    def parse(self: Any) -> Any:
        return YamlObject(self, _marked(json.loads(self.yaml_str), mapping, sequence))

    kind = {"file_type": FileType.CONTRACT}
    return new_class("Source", (ContractYamlSource,), kind, lambda body: body.update(parse=parse))


def _marked(value: Any, mapping: Any, sequence: Any) -> Any:
    """Plain data in the kinds of dict and list that Soda's YAML reader gives."""
    if isinstance(value, dict):
        made = mapping()
        made.update({key: _marked(part, mapping, sequence) for key, part in value.items()})
        return made
    if isinstance(value, list):
        return sequence([_marked(part, mapping, sequence) for part in value])
    return value


def _condition(check: Any, dialect: Any) -> str | None:
    """The condition that a row of a failed check meets; None where the check is not about rows."""
    if check.type not in ("missing", "invalid", "failed_rows") or getattr(check.check_yaml, "query", None):
        return None
    metric = check.get_threshold_metric_impl()
    expression = metric.sql_condition_expression() if hasattr(metric, "sql_condition_expression") else None
    return str(dialect.build_expression_sql(expression)) if expression is not None else None


# ---------------------------------------------------------------- the connection
def _data_source() -> Callable[[duckdb.DuckDBPyConnection, Look], Any]:
    from soda_core.common.data_source_results import QueryResult
    from soda_core.common.metadata_types import ColumnMetadata
    from soda_duckdb.common.data_sources.duckdb_data_source import DuckDBDataSourceImpl, DuckDBSqlDialect

    dialect = DuckDBSqlDialect()
    dialect._build_combined_hash_sql = lambda key: _row(dialect, key)
    dialect._build_sum_sql = lambda total: _total(dialect, total)
    dialect._data_type_name_synonym_mappings = dialect._build_data_type_name_synonym_mappings(list(_SAME_TYPES))

    def made(connection: duckdb.DuckDBPyConnection, look: Look) -> Any:
        def execute(sql: str, log_query: bool = True) -> Any:
            cursor = connection.execute(sql)
            return QueryResult(rows=cursor.fetchall(), columns=cursor.description or [])

        def columns(dataset_prefixes: list[str], dataset_name: str) -> list[Any]:
            return [
                ColumnMetadata(name, _sql_type(dialect, kind))
                for name, kind in _columns(connection, f"{dataset_prefixes[0]}.{dataset_name}")
            ]

        source = DuckDBDataSourceImpl.from_existing_cursor(connection, DATABASE)
        source.sql_dialect, source.look = dialect, look
        source.execute_query, source.get_columns_metadata = execute, columns
        source.distinct = lambda table, key: [count_distinct(connection, table, key)]
        source.counts = lambda table, conditions: count_each(connection, table, conditions)
        return source

    return made


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    """(column, type), in order. The information_schema takes ten times as long."""
    return connection.execute(f"SELECT name, type FROM pragma_table_info({literal(table_name(table))})").fetchall()


def _sql_type(dialect: Any, kind: str) -> Any:
    """`DECIMAL(18,2)` as Soda holds a type: its name, and the precision and scale of a decimal."""
    name, _, rest = kind.partition("(")
    numbers = [int(part) for part in rest.rstrip(")").split(",")] if name == "DECIMAL" and rest else [None, None]
    return dialect.get_sql_data_type_class()(name=name, numeric_precision=numbers[0], numeric_scale=numbers[1])


def _row(dialect: Any, key: Any) -> str:
    """The columns of a key themselves; Soda's MD5 of their text takes four times as long, and mixes NULL with words."""
    return f"row({', '.join(dialect.build_expression_sql(part) for part in key.expressions)})"


def _total(dialect: Any, total: Any) -> str:
    """`SUM(CASE WHEN x THEN 1 END)` is written as a count, which costs a third."""
    case = total.expression
    ones = getattr(case, "else_expression", 0) is None and getattr(case.if_expression, "value", None) == 1
    return f"{'COUNT' if ones else 'SUM'}({dialect.build_expression_sql(case)})"


# ---------------------------------------------------------------- a contract
def _without_reports(impl: Any) -> None:
    """Contracts without the summary in the log and the text of each check, and with large tables looked at in our way."""
    methods = {
        "kind": "contract",
        "bundle_aggregation_metrics": bundler(impl),
        "build_log_summary": lambda *_, **__: [],
    }
    type("LeanContract", (impl.ContractImpl,), methods)  # registers itself for contracts
    impl.CheckImpl._build_definition = lambda _: ""
