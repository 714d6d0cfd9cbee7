"""YAML, read strictly, and written so that every reader takes a text for a text."""

import re
from typing import Any

import yaml

MAX_CHARACTERS = 1_000_000
"""Longest text that is read."""
MAX_VALUES = 100_000
"""Most values of a text, those that aliases stand for included."""


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice and reads numbers as people mean them.

    YAML 1.1 takes 1e-3 for a text, 1:30 for 90 and 010 for 8. Here the first is a number and the others are texts.
    """


_NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F]+",
    "tag:yaml.org,2002:float": r"[-+]?(\.[0-9]+|[0-9][0-9_]*\.[0-9_]*)([eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in _NUMBERS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Dumper(yaml.SafeDumper):
    """Safe YAML that quotes a text which YAML 1.1 or the reader above would take for a number.

    Texts of several lines are written as they are.
    """


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if "\x85" in text else "|" if "\n" in text else None  # a raw \x85 would be read as a line's end
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, _represent_text)
for _tag, _pattern in _NUMBERS.items():
    for _knows in (_Loader, Dumper):
        _knows.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list("-+.0123456789"))


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        name = str(key.value)
        if name in seen and key.tag != "tag:yaml.org,2002:merge":
            raise yaml.MarkedYAMLError(problem=f"the key {name!r} is given twice", problem_mark=key.start_mark)
        seen.add(name)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def write_yaml(data: Any) -> str:
    """Returns plain data as YAML, keys in their order."""
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def read_yaml(text: str, where: str) -> Any:
    """Returns what a YAML text says.

    Args:
        text: YAML of at most a million characters.
        where: what the text is, for the error.

    Raises:
        ValueError: it is no YAML; the text names the line.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{where}: YAML must have at most {MAX_CHARACTERS} characters, got {len(text)}")
    try:
        data = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{where}{line}: not valid YAML: {error.problem or error.context}; mend that line") from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{where}: not valid YAML: {text}; mend the file") from None
    _refuse_bomb(data, where)
    return data


def _refuse_bomb(data: Any, where: str) -> None:
    """Refuses nested aliases (`&a`, `*a`): a few lines of them can stand for more values than memory holds."""
    waiting, seen = [data], 0
    while waiting:
        one = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise ValueError(f"{where}: YAML must have at most {MAX_VALUES:,} values, got more; unfold its aliases")
        if isinstance(one, dict | list):
            waiting.extend(one.values() if isinstance(one, dict) else one)
