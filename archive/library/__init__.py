"""Known and promoted programs as text: data to be parsed, never imported.

Each rule is a file `<name>.py` here: a comment that names it and its source, and one function in the language of
`primitives.text`.
"""

from importlib import resources

from primitives.names import nearest


def names() -> tuple[str, ...]:
    """Returns the names of the rules in alphabetical order."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(file.removesuffix(".py") for file in files if file.endswith(".py") and file[0] != "_"))


def text(name: str) -> str:
    """Returns the text of a rule.

    Raises:
        ValueError: there is no rule of that name.
    """
    known = names()
    if name not in known:
        hint = nearest(name, known) or "; choose one of them"
        raise ValueError(f"a rule must be one of {', '.join(known)}, got {name!r}{hint}")
    return resources.files(__name__).joinpath(f"{name}.py").read_text("utf-8")
