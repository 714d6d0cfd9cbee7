"""Settings: strict models from YAML, one-line errors, and files that explain themselves.

Every setting is a pydantic field that carries a default, a unit, a range and a description; this file reads them
back for error texts and for `pride config`. Nothing here knows a particular setting.
"""

import json
import textwrap
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from archive.strict_yaml import Dumper, read_yaml
from primitives.names import nearest


class Section(BaseModel):
    """A part of the configuration: frozen, strict (no number from a text), and an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, populate_by_name=True, validate_default=False
    )


Model = TypeVar("Model", bound=BaseModel)


def setting(default: Any, doc: str, *, unit: str = "", **limits: Any) -> Any:
    """Returns a field with a default, a description, a unit and limits (`ge`, `gt`, `le`, `lt`, `min_length` ...)."""
    extra: dict[str, Any] | None = {"unit": unit} if unit else None
    if isinstance(default, (list, dict, BaseModel)):
        return Field(default_factory=lambda: default, description=doc, json_schema_extra=extra, **limits)
    return Field(default=default, description=doc, json_schema_extra=extra, **limits)


# --- reading ----------------------------------------------------------------------------------------------------------


def override(data: dict[str, Any], assignment: str) -> None:
    """Carries out `a.b=value` on nested mappings; the value is YAML.

    Raises:
        ValueError: it is no assignment, the value is no YAML, or a part of the key is no mapping.
    """
    key, equals, value = assignment.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ValueError(f"--set needs key=value (for example archive.depth=5), got {assignment!r}")
    parsed = read_yaml(value, f"--set {assignment}")
    for depth, part in enumerate(path[:-1]):
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ValueError(f"--set {assignment}: {'.'.join(path[: depth + 1])} has no keys of its own, got {inner!r}")
        data = inner
    data[path[-1]] = parsed


def validate(model: type[Model], data: Any, where: str = "", prefix: str = "") -> Model:
    """Returns `data` as a `model`.

    Args:
        model: a pydantic model.
        data: plain data as YAML gives it.
        where: what the data are (a file), for the error.
        prefix: dotted key of the section that the model is.

    Raises:
        ValueError: an unknown key (the nearest is named), a wrong type, a value out of range: one line.
    """
    start = f"{where}: " if where else ""
    if not isinstance(data, Mapping):
        raise ValueError(f"{start}{prefix or 'a configuration'} must be a mapping `key: value`, got {_shown(data)}")
    try:
        # JSON mode: lists may stand for tuples although the models are strict
        text = json.dumps(data, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{start}{prefix or 'a configuration'} must be plain data, got {error}") from None
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(start + explain(error, model, prefix)) from None


# --- errors -----------------------------------------------------------------------------------------------------------


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """Returns one error of a validation in one line: what must hold, what was got, what to do."""
    errors = error.errors(include_url=False)
    # a misspelt key may make another one missing: it comes first
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    head = (prefix,) if prefix else ()
    owner, field, depth = _find(model, first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown((*head, *first["loc"]), owner)
    # the key of the setting, not of an entry in its list or mapping
    key = ".".join(map(str, (*head, *first["loc"][:depth])))
    if first["type"] == "value_error" or field is None:
        message = first["msg"].removeprefix("Value error, ")
        return message if message.startswith(key) else f"{key}: {message}"
    if first["type"] == "missing":
        return f"{key} is missing; it must be {values(field)}: {field.description}"
    return f"{key} must be {values(field)}, got {_shown(first['input'])}; {field.description}"


def _unknown(path: tuple[Any, ...], owner: type[BaseModel]) -> str:
    keys = [field.alias or name for name, field in owner.model_fields.items()]
    hint = nearest(str(path[-1]), keys) or f"; known keys: {', '.join(keys)}"
    return f"unknown key {'.'.join(map(str, path))!r}{hint}"


def _find(model: type[BaseModel], loc: tuple[Any, ...]) -> tuple[type[BaseModel], FieldInfo | None, int]:
    """The innermost model on the way to `loc`, the setting that the error is about, and how far that is on the way."""
    field: FieldInfo | None = None
    depth = 0
    for place, part in enumerate(loc, start=1):
        if isinstance(part, int):  # an entry of a list
            continue
        found = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        if found is None:
            break
        field, depth = found, place
        section = _section(field.annotation)
        if section is None:
            break
        model = section
    return model, field, depth


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation: itself, or the entries of a list or an optional one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in typing.get_args(annotation) if (found := _section(arg))), None)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str) if isinstance(value, (bool, list, dict, type(None))) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# --- meaning ----------------------------------------------------------------------------------------------------------

LONGEST = 120
"""Characters of a line."""
_TYPES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
    type(None): "null",
}


def values(field: FieldInfo) -> str:
    """Returns what values a setting takes: type, range and unit ("an integer from 1 to 64 (batches)")."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    kind = str(extra["values"]) if "values" in extra else _type_text(field.annotation)
    limits = _limits(field)
    text = kind.replace(" or null", "") + limits + (" or null" if kind.endswith(" or null") else "")
    unit = extra.get("unit")
    return f"{text} ({unit})" if unit else text


def _type_text(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_text(args[0])
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_text(arg) for arg in sorted(args, key=lambda a: a is type(None)))
    if origin in (list, tuple, set, frozenset):
        return "a list"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, (dict, BaseModel))):
        return "a mapping `key: value`"
    return _TYPES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limits(field: FieldInfo) -> str:
    found: dict[str, Any] = {}
    for item in field.metadata:
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length"):
            if getattr(item, name, None) is not None:
                found[name] = getattr(item, name)
    low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
    text = ""
    if low is not None and high is not None:
        text = f" from {low:.15g} to {high:.15g}" if isinstance(low, float) else f" from {low} to {high}"
        ends = [f"{value:.15g}" for value in (found.get("gt"), found.get("lt")) if value is not None]
        text += f" (without {' and '.join(ends)})" if ends else ""
    elif low is not None:
        text = f" of at least {low}" if "ge" in found else f" above {low}"
    elif high is not None:
        text = f" of at most {high}" if "le" in found else f" below {high}"
    if "min_length" in found:
        text += f" of {found['min_length']} or more"
    return text


def commented(model: BaseModel, sections: Mapping[str, BaseModel] | None = None, prefix: str = "") -> str:
    """Returns the settings of a model as YAML, each under its meaning, range and unit.

    Args:
        model: the settings.
        sections: models of the settings that are plain mappings in `model`, by dotted key.
        prefix: dotted key of `model` itself, with a dot at its end; empty for the whole.
    """
    lines: list[str] = []
    indent = "  " * prefix.count(".")
    dumped = model.model_dump(mode="json", by_alias=True)
    for name, field in type(model).model_fields.items():
        key = field.alias or name
        inner = (sections or {}).get(prefix + key, getattr(model, name))
        if lines and not prefix:
            lines.append("")
        meaning = _sentence(field.description or key)
        if not isinstance(inner, BaseModel):
            meaning += f" {_sentence(values(field))}"
        lines += textwrap.wrap(meaning, 116, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        if isinstance(inner, BaseModel) and type(inner).model_fields:
            lines += [f"{indent}{key}:", commented(inner, sections, f"{prefix}{key}.")]
        else:
            lines += [indent + line for line in _setting_lines(key, dumped[key], LONGEST - len(indent))]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _setting_lines(key: str, value: Any, width: int) -> list[str]:
    """A setting in one line; a list or mapping too long for that, one entry a line."""
    line = one_line(key, value)
    if len(line) <= width or not isinstance(value, list):
        return [line]
    entries = yaml.dump([_Flow(entry) for entry in value], Dumper=_Dumper, width=10**6, default_flow_style=False)
    return [f"{key}:", *(f"  {entry}" for entry in entries.splitlines())]


def one_line(key: str, value: Any) -> str:
    """Returns `key: value` as one line of YAML."""
    return yaml.dump({key: _Flow(value)}, Dumper=_Dumper, width=10**6, sort_keys=False, allow_unicode=True).strip()


class _Flow:
    def __init__(self, value: Any) -> None:
        self.value = value


class _Dumper(Dumper):
    def represent_flow(self, data: _Flow) -> yaml.Node:
        node = self.represent_data(data.value)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = True
        return node


_Dumper.add_representer(_Flow, _Dumper.represent_flow)
