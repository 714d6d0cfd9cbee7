"""Plug-ins: found by the name of their file, or as `package.module:NAME` where they are a user's own."""

import importlib
from collections.abc import Iterable
from typing import Any

from primitives.names import nearest


def find(what: str, name: str, package: str, known: Iterable[str]) -> Any:
    """Returns what a plug-in's file holds under the name of its sort in capitals, or what `package.module:NAME` names.

    Args:
        what: the sort of plug-in, in one word ("domain": its file holds a `DOMAIN`).
        name: a name in `known`, or `package.module:NAME`.
        package: where the files of the built-in ones are.
        known: names of the built-in ones.

    Raises:
        ValueError: there is no such plug-in; what it is, is left to the caller to check.
    """
    if ":" in name:
        return import_object(what, name)
    refuse_unknown(what, name, known)
    return import_object(what, f"{package}.{name}:{what.upper()}")


def refuse_unknown(what: str, name: str, known: Iterable[str]) -> None:
    """Refuses a name that is none of the known ones.

    Raises:
        ValueError: it lists what there is, and names the nearest.
    """
    known = tuple(known)
    if name not in known:
        hint = nearest(name, known) or "; check the spelling"
        raise ValueError(f"a {what} must be one of {', '.join(known)} or package.module:NAME, got {name!r}{hint}")


def import_object(what: str, path: str) -> Any:
    """Returns the object that `package.module:NAME` names.

    Raises:
        ValueError: there is no such module or nothing of that name in it, or it can't be imported.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a user's module may raise anything)
        text = " ".join(str(error).split()) if isinstance(error, Exception) else f"it exits with {error}"
        raise ValueError(
            f"a {what} must be importable, got {path!r}: {text}; check the spelling and the path"
        ) from error
