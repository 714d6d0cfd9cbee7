"""YAML: what is written is read again as it was, by Pride and by readers of YAML 1.1."""

import ast

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from archive.library.card import write_card
from archive.strict_yaml import read_yaml, write_yaml

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["1e-3", "0E0", "1:30", "010", "on", "~"])
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(plain)
@example({"program": "def train(g):\n    update = g\n    return update\n"})
@example(
    ["  two\n  lines", "a \nb", "a\r\nb", "a\n\n\n", "\n", "#\n- a", "\ta\nb", "---\n...", "a\u2028b\n", "\ufeff\n"]
)
@example(["\x85", "a\x85b", "a\x85b\nc", {"a\x85b": 1}])
def test_what_is_written_is_read_again(data):
    assert read_yaml(write_yaml(data), "here") == data


@given(texts)
def test_every_reader_takes_a_text_for_a_text(text):
    assert yaml.safe_load(write_yaml([text])) == [text]


def test_texts_of_several_lines_are_written_as_they_are():
    assert write_yaml({"mathematics": "m = g\nw = w - m\n"}) == "mathematics: |\n  m = g\n  w = w - m\n"


@pytest.mark.parametrize("text", ["a: 1\na: 2", "[1", "&a [*a, *b]"])
def test_what_is_no_yaml_is_told_with_its_place(text):
    with pytest.raises(ValueError, match="here"):
        read_yaml(text, "here")


@given(texts.filter(lambda text: "\t" not in text), texts.filter(lambda text: "\t" not in text))
@example('a """ b \\ c\\', 'm = g \nw = w - m\n"""\n')
@example("\x85", "a\x00\r\n  b\n")
def test_a_card_survives_the_docstring_that_it_is_written_into(title, mathematics):
    content = write_card(
        {"title": title, "mathematics": mathematics}, "def train(g):\n    update = g\n    return update\n"
    )
    docstring = ast.get_docstring(ast.parse(content))
    assert docstring is not None
    assert read_yaml(docstring, "here") == {"title": title, "mathematics": mathematics}
