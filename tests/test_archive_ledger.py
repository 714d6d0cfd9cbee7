"""The ledger: what is added is there after a kill at any byte, and nothing else is."""

import json
import os
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.ledger import Ledger

ABOUT = {"search": "abc", "code": 1}
VALUES = st.recursive(st.none() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=4)


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: key != "about"), VALUES, max_size=6), st.data())
def test_a_cut_at_any_byte_loses_only_what_is_behind_it(tmp_path_factory, results, data):
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    with Ledger(path, ABOUT) as ledger:
        ends = [(path.stat().st_size, 0)]
        for number, (key, value) in enumerate(results.items(), start=1):
            assert ledger.add(key, value) == ledger[key]
            ends.append((path.stat().st_size, number))
    cut = data.draw(st.integers(ends[0][0], ends[-1][0]))
    os.truncate(path, cut)
    kept = max(number for end, number in ends if end <= cut)
    with Ledger(path, ABOUT) as ledger:
        assert list(ledger) == list(results)[:kept]
        assert all(ledger[key] == json.loads(json.dumps(results[key])) for key in ledger)
        ledger.add("later", 1)
    with Ledger(path, ABOUT) as ledger:
        assert ledger["later"] == 1


def test_one_cut_in_the_first_line_begins_anew(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'["about", {"form')
    with Ledger(path, ABOUT) as ledger:
        assert not list(ledger)


def test_what_can_not_be_used_is_told_in_one_line(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path, ABOUT), pytest.raises(ValueError, match="must have one writer, got one at work"):
        Ledger(path, ABOUT)
    with pytest.raises(
        ValueError, match=r"must be of this work, got one of another \(code: '1', not '2'\); choose another"
    ):
        Ledger(path, {**ABOUT, "code": 2})
    with path.open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(ValueError, match=r"got something else in line 2 .* remove that line"):
        Ledger(path, ABOUT)
    with pytest.raises(ValueError, match="must be a file that can be written"):
        Ledger(tmp_path / "ledger.jsonl" / "inside", ABOUT)


def test_a_full_disk_is_told_in_one_line_and_loses_only_what_does_not_fit(tmp_path):
    path = tmp_path / "ledger.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        with Ledger(path, ABOUT) as ledger:
            ledger.add("fits", 1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
            ledger.add("too long", "x" * 1000)

    try:
        with pytest.raises(ValueError, match=r"the disk must have room for .*; free some, then go on"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Ledger(path, ABOUT) as ledger:
        assert list(ledger) == ["fits"]
        ledger.add("too long", 2)
    with Ledger(path, ABOUT) as ledger:
        assert list(ledger) == ["fits", "too long"]


def test_a_line_whose_key_is_none_is_told_in_one_line(tmp_path):
    path = tmp_path / "ledger.jsonl"
    Ledger(path, ABOUT).close()
    path.write_bytes(path.read_bytes() + b'[["a"], 1]\n')
    with pytest.raises(ValueError, match="something else in line 2"):
        Ledger(path, ABOUT)
