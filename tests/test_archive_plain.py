"""Plain data as text: what comes back, and what `json` says to it."""

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.plain import TextError, from_json, to_json

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.integers(0, 2**64 - 1).map(lambda word: struct.unpack("<d", struct.pack("<Q", word))[0]))
def test_every_bit_of_a_float_comes_back(value):
    for text in (to_json(value), json.dumps(value)):  # texts of a store that an older version wrote are of `json`
        assert repr(from_json(text)) == repr(value)
        assert repr(json.loads(text)) == repr(value)


@given(plain)
def test_what_is_plain_comes_back_and_json_agrees(value):
    assert repr(from_json(to_json(value))) == repr(value)
    assert repr(from_json(json.dumps(value, ensure_ascii=False))) == repr(value)
    assert repr(json.loads(to_json(value))) == repr(value)


def test_tuples_come_back_as_lists_and_keys_as_text():
    assert from_json(to_json({1: (2, (3.0,))})) == {"1": [2, [3.0]]}
    assert math.isnan(from_json(to_json(math.nan)))


@pytest.mark.parametrize("text", ["", "[cut", '{"a": }', "nothing", "[1] [2]"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(TextError, match="line 1 column"):
        from_json(text)
