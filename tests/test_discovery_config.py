"""The configuration: strict, explains itself, and reads back what it writes."""

import contextlib
from math import inf
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from discovery.budget import Budget, parse_budget
from discovery.config import Config, options
from discovery.config_file import build, describe, dump, find_config, load_config, shipped_configs
from discovery.settings import read_yaml

TOY = """
from pydantic import BaseModel, ConfigDict, Field
from evaluators.domain import Domain
from primitives.primitive import Vocabulary
from primitives.kinds import TENSOR
from primitives.program import Interface

FORMULA = Interface("f", (("x", TENSOR),), (("y", TENSOR),))

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    targets: tuple[str, ...] = Field(default=("a",), min_length=1, description="what to fit")
    points: int = Field(default=10, ge=2, le=100, description="points", json_schema_extra={"unit": "points"})

DOMAIN = Domain(
    "toy", FORMULA, Vocabulary(()), "float64", Options, lambda g: None, lambda g: None, lambda g: {}, (),
    lambda o: (), lambda o, f: None, ("straight",), ("x",),
)
"""


def message(data: dict, where: str = "") -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        build(data, where)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("20000", Budget(candidates=20_000)),
        (20_000, Budget(candidates=20_000)),
        (2e4, Budget(candidates=20_000)),
        ("20_000", Budget(candidates=20_000)),
        ("90s", Budget(seconds=90.0)),
        ("5m", Budget(seconds=300.0)),
        ("1h30m", Budget(seconds=5_400.0)),
        ("36h", Budget(seconds=129_600.0)),
        ("2d", Budget(seconds=172_800.0)),
        ("0.5s", Budget(seconds=0.5)),
        (" 5m ", Budget(seconds=300.0)),
    ],
)
def test_budget_is_a_number_or_a_time(text, budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text",
    ["", "0", 0, -1, "-5m", "5 m", "5x", "m", "m5", "1m1h", "0s", "1e3", 1.5, float("nan"), float("inf"), True,
     None, "9" * 30, "9" * 12 + "d", "٣", "5m\n5m", [5]],
)  # fmt: skip
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(ValueError, match=r"budget must be a number of candidates .* got"):
        parse_budget(text)


@given(st.one_of(st.integers(1, 10**14).map(lambda n: Budget(candidates=n)),
                 st.floats(1e-9, 1e9).map(lambda s: Budget(seconds=s))))  # fmt: skip
def test_a_budget_reads_back_from_its_text(budget):
    assert parse_budget(str(budget)) == budget


# --- reading and writing ----------------------------------------------------------------------------------------------


@example({"start": ["0E0"]})
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(0, 2**63 - 1),
            "budget": st.one_of(st.integers(1, 10**9), st.sampled_from(["5m", "1h30m", "0.25s"])),
            "start": st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4, unique=True),
            "inputs": st.one_of(st.none(), st.just(["g"]), st.just(["t", "w", "g", "lr"])),
            "batch": st.integers(1, 1000),
            "workers": st.one_of(st.none(), st.integers(1, 64)),
            "reevaluate": st.floats(0.0, 0.9),
            "archive": st.fixed_dictionaries(
                {},
                optional={
                    "depth": st.integers(1, 100),
                    "pessimism": st.floats(0.0, 10.0),
                    "axes": st.just(["size", {"name": "state_buffers", "edges": [0.5, 1.5]}]),
                },
            ),
            "restart": st.fixed_dictionaries({}, optional={"from": st.sampled_from(["none", "start", "best"])}),
            "cache": st.fixed_dictionaries({}, optional={"functional": st.booleans()}),
        },
    )
)
def test_what_is_dumped_loads_to_the_same(data):
    config = build(data)
    assert build(yaml.safe_load(dump(config))) == config
    # our own reader too, which knows more numbers than YAML 1.1
    assert build(read_yaml(dump(config), "dump")) == config


def test_the_described_defaults_are_the_defaults():
    text = describe()
    assert build(yaml.safe_load(text)) == build({})
    assert max(len(line) for line in text.splitlines()) <= 120


def test_every_setting_has_a_meaning():
    def settings(model):
        for name, field in model.model_fields.items():
            yield name, field
            if hasattr(field.annotation, "model_fields"):
                yield from settings(field.annotation)

    assert not [name for name, field in settings(Config) if not field.description]
    numbers = [(name, f) for name, f in settings(Config) if f.annotation in (int, float)]
    assert not [name for name, field in numbers if len(field.metadata) < 2], "a number needs a range"


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_shipped_configurations_load_by_name_and_by_path(name, monkeypatch, tmp_path):
    by_path = load_config(shipped_configs()[name])
    monkeypatch.chdir(tmp_path)
    assert load_config(name) == load_config(f"configs/{name}.yaml") == by_path


def test_a_file_comes_before_a_shipped_configuration(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("optimizers.yaml").write_text("seed: 77\n")
    assert load_config("optimizers.yaml").seed == 77


def test_an_empty_file_is_all_defaults(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("# nothing\n")
    assert load_config(path) == build({})


def test_aliases_that_stand_for_too_much_are_refused(tmp_path):
    rows = ["a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(rows))
    with pytest.raises(ValueError, match=r"at most 100,000 values, got more; unfold its aliases"):
        load_config(path)
    path.write_text("archive: {axes: &a [size]}\n")
    assert load_config(path).archive.axes[0].name == "size"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), (".5", 0.5), ("1_000", 1000), ("0", 0), ("-7", -7), ("1.", 1.0), ("0x10", 16), ("-.inf", -inf)],
)
def test_numbers_are_those_of_yaml_1_2(text, value):
    assert (read_yaml(text, "text"), type(read_yaml(text, "text"))) == (value, type(value))


@pytest.mark.parametrize("text", ["1:30", "010", "08", "1:30.5", "e5", "."])
def test_what_yaml_1_1_takes_for_a_number_is_a_text(text):
    assert read_yaml(text, "text") == text


def test_a_budget_of_minutes_and_seconds_is_refused_not_taken_for_90_candidates(tmp_path):
    with pytest.raises(ValueError, match=r"--set budget=1:30.*budget must be a number of candidates.*'1:30'"):
        load_config("optimizers", ["budget=1:30"])


def test_overrides_are_yaml(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\narchive: {depth: 2}\n")
    config = load_config(path, ["seed=5", "archive.pessimism=1e-3", "start=[lion, sgd]", "workers=null", "budget=7"])
    assert (config.seed, config.archive.depth, config.archive.pessimism) == (5, 2, 1e-3)
    assert (config.start, config.workers, config.budget) == (("lion", "sgd"), None, Budget(candidates=7))


def test_an_axis_is_a_name_or_a_name_with_edges():
    axes = build({"archive": {"axes": ["size", {"name": "state_buffers", "edges": [0.5, 1.5]}]}}).archive.axes
    assert axes is not None
    assert [(axis.name, axis.edges) for axis in axes] == [("size", None), ("state_buffers", (0.5, 1.5))]


def test_a_domain_of_a_users_own_validates_its_own_section(monkeypatch, tmp_path):
    (tmp_path / "toy_of_config_test.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    domain = "toy_of_config_test:DOMAIN"
    config = build({"domain": domain, "evaluation": {"points": 3}})
    assert config.evaluation == {"targets": ["a"], "points": 3}
    assert options(config).targets == ("a",)  # pyright: ignore[reportAttributeAccessIssue]
    assert "evaluation.points must be an integer from 2 to 100 (points), got 1" in message(
        {"domain": domain, "evaluation": {"points": 1}}
    )
    assert message({"domain": domain, "evaluation": {"point": 5}}) == (
        "unknown key 'evaluation.point'; did you mean 'points'?"
    )
    text = describe(domain)
    assert "points: 10" in text
    defaults = build(read_yaml(text, "described"))
    assert defaults == build({"domain": domain})
    assert (defaults.start, defaults.inputs) == (("straight",), ("x",))


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"bach": 1}, "unknown key 'bach'; did you mean 'batch'?"),
        ({"archive": {"dpth": 1}}, "unknown key 'archive.dpth'; did you mean 'depth'?"),
        ({"zzz": 1}, "unknown key 'zzz'; known keys: domain, seed"),
        ({"batch": 0}, "batch must be an integer from 1 to 100000 (candidates), got 0"),
        ({"batch": True}, "batch must be an integer from 1 to 100000 (candidates), got true"),
        ({"batch": "64"}, "batch must be an integer from 1 to 100000 (candidates), got '64'"),
        ({"batch": 6.5}, "batch must be an integer from 1 to 100000 (candidates), got 6.5"),
        ({"reevaluate": float("nan")}, "reevaluate must be a number from 0 to 0.9 (share), got nan"),
        ({"reevaluate": 1}, "reevaluate must be a number from 0 to 0.9 (share), got 1"),
        ({"workers": 0}, "workers must be an integer from 1 to 100000 or null (processes), got 0"),
        ({"seed": -1}, "seed must be an integer from 0 to 9223372036854775807, got -1"),
        ({"seed": 2**63}, "seed must be"),
        ({"start": []}, "start must be a list of 1 or more or null, got []"),
        ({"start": "sgd"}, "start must be a list of 1 or more or null, got 'sgd'"),
        ({"start": [3]}, "start must be a list of 1 or more or null, got 3"),
        ({"start": ["sgd", "sgd"]}, "start must name each once, got 'sgd' twice"),
        ({"archive": None}, "archive must be a mapping"),
        ({"archive": [1]}, "archive must be a mapping"),
        ({"archive": {"axes": [{"name": "size", "edges": [2, 1]}]}}, "edges of an axis must ascend"),
        ({"archive": {"axes": [{"nam": "size"}]}}, "archive.axes.0"),
        ({"archive": {"axes": []}}, "archive.axes must be a list of 1 or more or null"),
        ({"cache": {"functional": 1}}, "cache.functional must be true or false, got 1"),
        ({"restart": {"from": "bes"}}, "restart.from must be one of none, start, best, got 'bes'"),
        ({"budget": "5x"}, "budget must be a number of candidates (20000) or a time"),
        ({"strategy": {"name": "map_elits"}}, "did you mean 'map_elites'?"),
        ({"strategy": {"name": "os:system"}}, "a strategy must be made of its options, got TypeError"),
        ({"strategy": {"name": "builtins:repr"}}, "with all that discovery.strategies.Strategy has, got str"),
        ({"proposer": {"name": "mutatio"}}, "did you mean 'mutation'?"),
        ({"proposer": {"options": {"mst": 1}}}, "unknown key 'proposer.options.mst'; did you mean 'most'?"),
        ({"domain": "optimizer"}, "did you mean 'optimizers'?"),
        ({"domain": "nowhere:DOMAIN"}, "a domain must be importable"),
        ({"inputs": ["w", "grad"]}, "inputs must be among w, g, lr, t"),
        ({"evaluation": {"taks": []}}, "unknown key 'evaluation.taks'; did you mean 'tasks'?"),
        ({"evaluation": {"tasks": []}}, "evaluation.tasks must be a list of 1 or more, got []"),
        ({"evaluation": {"stages": [{"name": "a", "share": 1, "seeds": 0}]}}, "evaluation.stages.0.seeds must be"),
        ({"evaluation": {"stages": [{"name": "a", "shar": 1}]}}, "unknown key 'evaluation.stages.0.shar'"),
        ({"evaluation": 3}, "evaluation must be a mapping"),
        ({1: 2}, "unknown key '1'"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told_in_one_line(data, words):
    text = message(data, "some.yaml")
    assert text.startswith("some.yaml: ")
    assert words in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1\nseed: 2\n", "line 2, column 1: not valid YAML: the key 'seed' is given twice"),
        ("archive:\n  depth: 1\n  depth: 1\n", "line 3, column 3"),
        ("seed: 1\nbatch: [1\n", "line 3"),
        ("seed: 1\n\tbatch: 2\n", "line 2"),
        ("- 1\n", "must be a mapping `key: value`, got list"),
        ("just words\n", "must be a mapping `key: value`, got str"),
        ("seed: !!python/object/apply:os.system [ls]\n", "line 1"),
        ("a: &a [*a]\n", "not valid YAML"),
        ("? [1, 2]\n: 3\n", "not valid YAML"),
        ("a: " + "[" * 5_000, "not valid YAML"),
        ("seed: \x00\n", "not valid YAML"),
        ("#" * 1_000_001, "at most 1000000 characters"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_in_one_line(tmp_path, text, words):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r".") as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"seed: \xff\xfe")
    with pytest.raises(ValueError, match="readable UTF-8 text"):
        load_config(path)
    with pytest.raises(ValueError, match="got a folder"):
        load_config(tmp_path)
    with pytest.raises(ValueError, match="did you mean 'optimizers'"):
        find_config("optimisers")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("seed", "--set needs key=value"),
        ("=5", "--set needs key=value"),
        ("archive..depth=5", "--set needs key=value"),
        ("seed=[", "--set seed=[, line 1"),
        ("seed.x=5", "seed has no keys of its own"),
        ("sed=5", "unknown key 'sed'; did you mean 'seed'?"),
        ("archive.depth=0", "archive.depth must be an integer from 1 to 100 (elites), got 0"),
        ("seed={a: 1, a: 2}", "given twice"),
    ],
)
def test_a_wrong_override_is_told_in_one_line(tmp_path, assignment, words):
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\n")
    with pytest.raises(ValueError, match=r".") as caught:
        load_config(path, [assignment])
    assert words in str(caught.value)


@given(st.text(max_size=60))
def test_no_text_raises_more_than_a_value_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    with contextlib.suppress(ValueError):
        load_config(path)


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        build({}).seed = 5
