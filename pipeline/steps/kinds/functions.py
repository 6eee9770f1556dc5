"""What a Polars model's function makes of the rows it is given: it gets and gives Parquet, so neither is held whole."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pipeline.errors import PermanentError, first_line
from pipeline.project.model import Model
from pipeline.sql import columns_list, literal, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.common import same_key
from pipeline.warehouse.changes import net_of
from pipeline.warehouse.database import Database
from pipeline.warehouse.engine import without_values

_Function = Callable[..., Any]  # LazyFrames -> LazyFrame
_OF_VALUES = ("InvalidOperationError", "ComputeError", "OutOfBoundsError")  # of Polars, when data do not fit
_PASSED_ON = "FORMAT parquet, COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 1"  # a file that is read once, at once
_SMALL = 8_000_000  # bytes of touched keys' rows up to which the engine keeps its memory: it would read again what it lets go of
_BY_THEMSELVES = 100  # keys that a function is asked for alone, to see whether others matter to them: half of those of a small table
_LOOKED_AT = 10_000  # rows among which those keys are


@contextmanager
def function_rows(run: Run, model: Model, given: str, *, narrowed: bool = False) -> Iterator[str]:
    """What to read for the rows that the function makes of a SELECT; without one, of the tables that its arguments name. There within the block."""
    folder = run.project.settings.scratch / f"polars {model.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        inputs = [f"({given})"] if given else [table_name(name) for name in model.inputs]
        files = [_exported(run.database, rows, folder / f"{number}.parquet") for number, rows in enumerate(inputs)]
        function, small = _function(model), narrowed and sum(file.stat().st_size for file in files) < _SMALL
        with nullcontext() if small else run.database.giving_way(run.project.settings.memory_limit):
            made = _made(model, function, files, folder)
            if model.header.kind == "incremental" and not narrowed:
                _check_by_key(run.database, model, function, files[0], made)
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exported(database: Database, rows: str, path: Path) -> Path:
    database.run(f"COPY (FROM {rows}) TO {literal(str(path))} ({_PASSED_ON})")
    return path


def _made(model: Model, function: _Function, inputs: list[Path], folder: Path) -> str:
    result = folder / f"{inputs[0].stem} result.parquet"
    _run_function(model, function, inputs, result)
    return _read(result)


def _read(path: Path) -> str:
    return f"read_parquet({literal(str(path))})"


def _check_by_key(database: Database, model: Model, function: _Function, given: Path, made: str) -> None:
    """Ask the function for some keys by themselves: what it makes of the touched keys must be what it makes of all.

    Raises PermanentError if it is not: a rank or a share of a sum is, as a table of kind full.
    """
    key, columns = model.header.key, database.columns_of(f"SELECT * FROM {made}")
    if not columns.keys() >= set(key):
        raise PermanentError(
            f"its function gives no column {min(set(key) - columns.keys())}, which is in the key", where=str(model.path), do="let it keep the key"
        )
    some = f"SELECT DISTINCT {columns_list(key)} FROM (FROM {made} LIMIT {_LOOKED_AT})"
    keys = database.made(f"CREATE OR REPLACE TEMP TABLE themselves AS {some}")
    half = max(1, min(_BY_THEMSELVES, keys // 2))
    database.run(f"CREATE OR REPLACE TEMP TABLE themselves AS FROM temp.themselves ORDER BY ALL LIMIT {half}")
    only = f"SEMI JOIN temp.themselves k ON {same_key(key, 'n', 'k')}"
    alone = _exported(database, f"(SELECT n.* FROM {_read(given)} n {only})", given.with_name("alone.parquet"))
    result = _made(model, function, [alone], given.parent)
    net = net_of(f"FROM {result}", f"SELECT n.* FROM {made} n {only}")
    if database.value(f"SELECT EXISTS ({net})"):
        raise PermanentError(
            "its function makes other rows of some keys by themselves than among all, so it cannot be of kind incremental",
            where=str(model.path),
            do="let it look at the rows of one key only, or make it kind full",
        )


def _run_function(model: Model, function: _Function, inputs: list[Path], result: Path) -> None:
    import polars  # half a second: only when a Polars model runs

    try:
        frame = function(*(polars.scan_parquet(path) for path in inputs))
        frame.sink_parquet(result, compression="uncompressed")
    except Exception as error:  # the user's code may raise anything
        raise PermanentError(
            f"its function failed: {type(error).__name__}: {_said(error)}",
            where=str(model.path),
            do="correct it, then run again",
        ) from error


def _said(error: Exception) -> str:
    """The first line of an error of Polars; of one about values, without them."""
    text = first_line(error)
    return without_values(text) if type(error).__name__ in _OF_VALUES else text


def _function(model: Model) -> _Function:
    spec = importlib.util.spec_from_file_location(f"goldfeed_model_{model.path.stem}", model.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's code may raise anything
        raise PermanentError(
            f"it cannot be imported: {type(error).__name__}: {first_line(error)}", where=str(model.path), do="correct it"
        ) from error
    function: _Function = module.model
    return function
