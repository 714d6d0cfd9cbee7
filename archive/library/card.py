"""Cards in files: YAML in the docstring of a rule, read strictly."""

import ast
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archive.strict_yaml import read_yaml, write_yaml
from primitives.card import LEARNING_RATE, TEXTS, Card, HyperParameter, Interval
from primitives.names import nearest
from primitives.program import Program, constant_of
from primitives.syntax import tree

_REQUIRED = ("title", "summary")
LONGEST = 105
"""Characters that title and summary have together, for they stand on one line of exported source."""
_KEYS = (*TEXTS, "learning_rate", "hyperparameters")


def read_card(content: str, name: str, program: Program) -> Card:
    """Returns the card in the docstring of a file.

    Args:
        content: the file's text.
        name: name of the rule.
        program: its program, which assigns the defaults of the hyper-parameters.

    Raises:
        ValueError: there is no card, it is no YAML, a field is missing, unknown or not of its type, or the name is no
            identifier.
        ProgramError: a hyper-parameter that the program does not assign a constant to.
    """
    if not name.isidentifier() or not name.isascii() or name[0] == "_":
        raise ValueError(
            f"a rule must be named by a Python identifier without a leading _, got {name!r}; rename the file"
        )
    found = _mapping(_yaml(ast.get_docstring(tree(content))), _KEYS, "a card")
    for key in _REQUIRED:
        if key not in found:
            raise ValueError(f"a card must have {key!r}, got only {', '.join(found) or 'nothing'}; add it")
    for key in TEXTS:
        if not isinstance(found.get(key, ""), str):
            raise ValueError(f"{key!r} of a card must be a text, got {found[key]!r}; put it in quotes")
    if len(found["title"]) + len(found["summary"]) > LONGEST:
        raise ValueError(
            f"title and summary of a card must fit on a line of {LONGEST} characters, "
            f"got {len(found['title']) + len(found['summary'])}; shorten the summary"
        )
    rate = found.get("learning_rate")
    hyper = _mapping(found.get("hyperparameters") or {}, None, "'hyperparameters' of a card")
    return Card(
        name=name,
        learning_rate=LEARNING_RATE if rate is None else replace(LEARNING_RATE, default=_rate(rate)),
        hyperparameters=tuple(_hyperparameter(key, value, program) for key, value in hyper.items()),
        **{
            key: " ".join(text.split()) if key != "mathematics" else text.strip()
            for key, text in found.items()
            if key in TEXTS
        },
    )


def write_card(card: Mapping[str, Any], program: str) -> str:
    """Returns the text of a rule's file: its card, as YAML in the docstring, then the program."""
    text = write_yaml(card).replace("\\", r"\\").replace('"""', r"\"\"\"")
    return f'"""\n{text}"""\n\n\n{program}'


def _yaml(docstring: str | None) -> Any:
    if docstring is None:
        raise ValueError("a rule must begin with its card, YAML in a docstring, got none; add title and summary")
    return read_yaml(docstring, "its card")


def _mapping(found: Any, keys: tuple[str, ...] | None, what: str) -> Mapping[str, Any]:
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"{what} must be a mapping `key: value`, got {str(found)[:60]!r}; mend it")
    for key in found:
        if keys is not None and key not in keys:
            raise ValueError(f"{what} must have no keys but {', '.join(keys)}, got {key!r}{nearest(key, keys)}")
    return found


def _rate(value: Any) -> float:
    try:
        return LEARNING_RATE.check(value)
    except ValueError:
        raise ValueError(f"'learning_rate' of a card must be a number from 0, got {value!r}; mend it") from None


def _hyperparameter(name: str, value: Any, program: Program) -> HyperParameter:
    fields = _mapping(value, ("range", "doc"), f"the hyper-parameter {name!r} of a card")
    for key in ("range", "doc"):
        if not isinstance(fields.get(key), str):
            raise ValueError(f"the hyper-parameter {name!r} of a card must have a text {key!r}, got {fields}; add it")
    parameter = HyperParameter(name, None, Interval.parse(fields["range"]), " ".join(fields["doc"].split()))
    return replace(parameter, default=parameter.check(constant_of(program, name)))
