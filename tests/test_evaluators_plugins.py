"""Plug-ins are found by name or by path; what is none is told in one line."""

import re

import pytest

from evaluators.plugins import find, import_object
from primitives.names import nearest

KNOWN = ("apple", "pear")


def told(name: str) -> str:
    with pytest.raises(ValueError, match="a fruit must be") as caught:
        find("fruit", name, "orchard", KNOWN)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def orchard(tmp_path, monkeypatch):
    """A package of plug-ins: one that is whole, and one that breaks as it is imported."""
    (tmp_path / "orchard").mkdir()
    (tmp_path / "orchard" / "__init__.py").touch()
    (tmp_path / "orchard" / "apple.py").write_text("FRUIT = 'an apple'\nPIP = 'a pip'\n")
    (tmp_path / "orchard" / "plum.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "orchard" / "pear.py").write_text("raise RuntimeError('rotten\\nto the core')\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_name_is_a_file_and_a_path_is_anything():
    assert find("fruit", "apple", "orchard", KNOWN) == "an apple"
    assert (
        find("fruit", "orchard.apple:PIP", "orchard", KNOWN) == import_object("fruit", "orchard.apple:PIP") == "a pip"
    )


def test_an_unknown_name_lists_what_there_is_and_the_nearest():
    text = "a fruit must be one of apple, pear or package.module:NAME, got "
    assert told("aple") == f"{text}'aple'; did you mean 'apple'?"
    assert told("") == f"{text}''; check the spelling"


@pytest.mark.parametrize("path", ["nowhere:FRUIT", "orchard.apple:NONE", "orchard.apple:", ":FRUIT", ".apple:FRUIT"])
def test_a_path_that_leads_nowhere_is_told(path):
    assert re.fullmatch(f"a fruit must be importable, got {path!r}: .+; check the spelling and the path", told(path))


def test_whatever_a_module_raises_is_told_in_one_line():
    assert "got 'orchard.pear:FRUIT': rotten to the core; " in told("pear")
    assert "got 'orchard.plum:FRUIT': it exits with 0; " in told("orchard.plum:FRUIT")


def test_only_near_names_are_offered():
    assert nearest("pera", KNOWN) == "; did you mean 'pear'?"
    assert nearest("xyz", KNOWN) == ""
