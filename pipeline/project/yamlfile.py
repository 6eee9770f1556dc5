"""YAML that remembers where things stand, so that an error can name the line."""

from __future__ import annotations

from collections.abc import Hashable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.errors import ProjectError

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.CSafeLoader):
    """A loader (the one in C: the demo shop is read in half the time) that refuses a key given twice; plain YAML takes the last without a word."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(text: str, path: Path, first_line: int = 1) -> dict[str, Any]:
    """A YAML mapping as a dict. Raises ProjectError with file and line."""
    try:
        loaded = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + (mark.line if mark else 0)
        raise ProjectError(
            f"this is not YAML: {error.problem}", where=f"{path}:{line}", do="correct the line"
        ) from error
    except yaml.YAMLError as error:
        raise ProjectError("this is not YAML", where=f"{path}:{first_line}", do="correct it") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ProjectError("expected `name: value` lines", where=f"{path}:{first_line}", do="see docs/sources.md")
    return loaded


def line_of(text: str, keys: tuple[Any, ...], first_line: int = 1) -> int:
    """The line on which the value under `keys` stands; of the nearest parent if it is absent."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return first_line
    line = first_line
    for key in keys:
        found = _child(node, key)
        if found is None:
            break
        node, mark = found
        line = first_line + mark.line
    return line


def _child(node: Any, key: Any) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            if key_node.value == str(key):
                return value_node, key_node.start_mark
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key].start_mark
    return None


def checked(kind: type[Model], data: dict[str, Any], text: str, path: Path, first_line: int = 1) -> Model:
    """Validate `data` as `kind`. Raises ProjectError naming file, line and the nearest right name."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        line = line_of(text, first["loc"], first_line)
        raise ProjectError(_problem(kind, first), where=f"{path}:{line}", do=_advice(kind, first)) from error


def _problem(kind: type[BaseModel], error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"there is no key {key!r} here"
    if error["type"] == "missing":
        return f"the key {key!r} is missing"
    said = str(error["msg"]).removeprefix("Value error, ")
    return f"{key}: {said}" if key else said


def _advice(kind: type[BaseModel], error: Any) -> str:
    if error["type"] != "extra_forbidden":
        return "correct it"
    fields = _kind_at(kind, error["loc"][:-1]).model_fields
    names = [field.alias or name for name, field in fields.items()]
    near = get_close_matches(str(error["loc"][-1]), names, 1, 0.5)
    return f"did you mean {near[0]!r}?" if near else "remove it"


def _kind_at(kind: type[BaseModel], place: tuple[Any, ...]) -> type[BaseModel]:
    """The kind of mapping that stands at a place within another, through dicts and lists."""
    for part in place:
        field = kind.model_fields.get(str(part))
        if field is not None:
            inner = _model_in(field.annotation)
            kind = inner or kind
    return kind


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
