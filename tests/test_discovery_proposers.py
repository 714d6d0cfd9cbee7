"""Proposers: found by name, one contract for all, and what each of them promises."""

import pickle
import sys
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from discovery.config_file import load_config
from discovery.proposers import Factory, Proposer, Space, load, names
from discovery.proposers.constants import Constants
from discovery.proposers.constants import Options as ConstantsOptions
from discovery.proposers.mutation import Mutation
from discovery.proposers.mutation import Options as MutationOptions
from discovery.proposers.random_program import Options as RandomOptions
from discovery.proposers.random_program import RandomProgram
from discovery.settings import validate
from discovery.starts import load_starts
from discovery.worker import Worker
from primitives.graph import check
from primitives.ops import LIBRARY
from primitives.program import COPY, OPTIMIZER, Program, Statement
from primitives.text import parse, structural_key

SIGNATURE = OPTIMIZER.signature(("w", "g", "m", "v", "lr"), ("update", "m", "v"))
LIMIT = 25


def text_key(program: Program) -> int:
    return structural_key(program, LIBRARY)


def program(*statements: tuple) -> Program:
    return Program(SIGNATURE, tuple(Statement(target, op, tuple(args)) for target, op, *args in statements))


ADAMW = program(
    ("g2", "square", "g"),
    ("m", "interpolate", "g", "m", 0.9),
    ("v", "interpolate", "g2", "v", 0.999),
    ("sqrt_v", "sqrt", "v"),
    ("update", "guarded_divide", "m", "sqrt_v"),
    ("wd", "multiply", "w", 0.01),
    ("update", "add", "update", "wd"),
    ("update", "multiply", "update", "lr"),
)
SGD = program(("update", "multiply", "g", "lr"))
NO_ARGUMENTS = program(("update", "get_pi"))
DEAD_CONSTANT = program(("a", COPY, 3.0), ("update", "multiply", "g", 0.5))
seeds = st.integers(0, 2**32 - 1)
every = pytest.mark.parametrize("name", names())


def live_key(candidate: Program) -> int:
    """A stand-in for the canonical key: what the first output and the state are computed from, without names."""
    graph = check(candidate, LIBRARY, LIMIT)

    def shown(ref: int) -> str:
        if ref < graph.first_node:
            inputs = (*graph.inputs, *graph.state)
            return inputs[ref] if ref < len(inputs) else repr(graph.constants[ref - len(inputs)])
        if ref not in texts:
            op, args = graph.nodes[ref - graph.first_node]
            texts[ref] = f"{op}({','.join(map(shown, args))})"
        return texts[ref]

    texts: dict[int, str] = {}
    # hash() of a text differs between processes, which no test here minds
    return hash(tuple(map(shown, (*graph.outputs, *graph.next_state))))


def space(key: Callable[[Program], int | None] = live_key) -> Space:
    return Space(LIBRARY, OPTIMIZER, LIMIT, key)


def made(name: str, key: Callable[[Program], int | None] = live_key, **options: object) -> Proposer:
    factory = load(name)
    return factory.build(validate(factory.options, options), space(key))


def propose(proposer: Proposer, parent: Program, seed: int) -> Program:
    return proposer.propose(parent, np.random.default_rng([7, seed]))


# --- by name ----------------------------------------------------------------------------------------------------------


def test_every_file_is_a_proposer() -> None:
    assert {"mutation", "constants", "random_program"} <= set(names())
    assert all(isinstance(load(name), Factory) for name in names())


def test_an_outsider_is_named_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    outsider = types.ModuleType("outsider")
    outsider.MINE = Factory(MutationOptions, Mutation)  # type: ignore[attr-defined]
    outsider.NUMBER = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "outsider", outsider)
    assert load("outsider:MINE") is outsider.MINE  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="must be a Factory, got int"):
        load("outsider:NUMBER")
    with pytest.raises(ValueError, match="must be importable, got 'outsider:YOURS'"):
        load("outsider:YOURS")
    with pytest.raises(ValueError, match="must be importable, got 'no_such_module_at_all:X'"):
        load("no_such_module_at_all:X")


@pytest.mark.parametrize(("name", "hint"), [("mutations", "did you mean 'mutation'"), ("", "or package.module:NAME")])
def test_an_unknown_name_lists_what_there_is(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as error:
        load(name)
    assert all(known in str(error.value) for known in names())


# --- the contract -----------------------------------------------------------------------------------------------------


@every
@given(seed=seeds, parent=st.sampled_from([ADAMW, SGD, NO_ARGUMENTS, DEAD_CONSTANT]))
@settings(max_examples=25, deadline=None)
def test_children_are_valid_and_a_function_of_parent_and_seed(name: str, seed: int, parent: Program) -> None:
    proposer, first, before = made(name), parent, repr(parent)
    for step in range(6):
        child = propose(proposer, parent, seed + step)
        assert child == propose(made(name), parent, seed + step)
        assert child.signature == parent.signature
        assert child.name == parent.name
        check(child, LIBRARY, LIMIT)
        parent = child
    assert repr(first) == before


@every
def test_a_parent_at_the_limit_grows_no_more(name: str) -> None:
    full = program(*(("m", "sin", "m") for _ in range(LIMIT - 1)), ("update", "multiply", "g", 0.3))
    assert max(len(propose(made(name), full, seed).statements) for seed in range(60)) <= LIMIT


@every
def test_a_proposer_survives_a_parent_of_which_nothing_can_be_made(name: str) -> None:
    proposer = made(name, key=lambda candidate: None)
    assert all(propose(proposer, ADAMW, seed) == ADAMW for seed in range(5))

    def refuse(candidate: Program) -> int:
        check(program(("update", "no_such_operation")), LIBRARY)
        return 0

    assert propose(made(name, key=refuse), ADAMW, 0) == ADAMW


@every
def test_a_proposer_and_its_children_travel_to_workers(name: str) -> None:
    factory = load(name)
    proposer = factory.build(factory.options(), space(text_key))
    copy = pickle.loads(pickle.dumps(proposer))
    child = propose(copy, ADAMW, 1)
    assert child == propose(proposer, ADAMW, 1)
    assert pickle.loads(pickle.dumps(child)) == child


@every
def test_options_are_strict_and_explained(name: str) -> None:
    options = load(name).options
    assert all(field.description for field in options.model_fields.values())
    with pytest.raises(ValidationError):
        options.model_validate({"no_such_option": 1})
    for key, field in options.model_fields.items():
        wrong = "yes" if field.annotation is bool else -1
        with pytest.raises(ValidationError):
            options.model_validate({key: wrong})


# --- mutation ---------------------------------------------------------------------------------------------------------


def test_single_mutations_are_equally_often_insertions_deletions_and_modifications() -> None:
    proposer = made("mutation", most=1, until_changed=False, rescale=0.0)
    sizes = Counter(len(propose(proposer, ADAMW, seed).statements) - len(ADAMW.statements) for seed in range(2_400))
    assert set(sizes) == {-1, 0, 1}
    assert stats.chisquare(list(sizes.values())).pvalue > 1e-3


def test_a_share_of_mutations_scales_a_constant_and_nothing_else() -> None:
    proposer, only = (made("mutation", most=1, until_changed=False, rescale=share) for share in (0.3, 1.0))

    def scaled(child: Program) -> bool:
        pairs = [
            (a, b)
            for old, new in zip(ADAMW.statements, child.statements, strict=True)
            for a, b in zip(old.args, new.args, strict=True)
        ]
        return sum(a != b for a, b in pairs) == 1 and all(
            a == b or (isinstance(a, float) and isinstance(b, float) and a * b > 0) for a, b in pairs
        )

    assert all(scaled(propose(only, ADAMW, seed)) for seed in range(200))
    sizes = Counter(len(propose(proposer, ADAMW, seed).statements) - len(ADAMW.statements) for seed in range(2_400))
    assert (
        stats.chisquare(
            [sizes[-1], sizes[1], sizes[0]], [2_400 * 0.7 / 3, 2_400 * 0.7 / 3, 2_400 * (0.7 / 3 + 0.3)]
        ).pvalue
        > 1e-3
    )


@pytest.mark.parametrize("drift", [True, False])
def test_mutation_goes_on_until_the_behaviour_changes(drift: bool) -> None:
    changed = made("mutation", drift=drift, attempts=100)
    once = made("mutation", until_changed=False, most=1)
    same = sum(live_key(propose(once, ADAMW, seed)) == live_key(ADAMW) for seed in range(200))
    assert same > 0
    children = [propose(changed, ADAMW, seed) for seed in range(200)]
    assert all(live_key(child) != live_key(ADAMW) for child in children)
    # only drifting leaves what made no difference in the child: with one mutation an attempt it is further away
    single = made("mutation", drift=drift, attempts=100, most=1)
    furthest = max(abs(len(propose(single, ADAMW, seed).statements) - len(ADAMW.statements)) for seed in range(200))
    assert furthest > 1 if drift else furthest == 1


def test_attempts_bound_how_often_the_key_is_asked() -> None:
    asked: list[Program] = []

    def same(candidate: Program) -> int:
        asked.append(candidate)
        return 0

    child = propose(made("mutation", key=same, attempts=7), ADAMW, 1)
    assert len(asked) == 1 + 7  # the parent, and each child once
    assert asked[0] == ADAMW
    assert asked[-1] == child  # the last answer is the child's: who remembers it need not check again


def test_the_number_of_mutations_is_geometric_and_bounded() -> None:
    def sizes(more: float, most: int) -> set[int]:
        proposer = made("mutation", until_changed=False, more=more, most=most, rescale=0.0)
        return {len(propose(proposer, ADAMW, seed).statements) - len(ADAMW.statements) for seed in range(2_000)}

    assert sizes(more=0.0, most=5) == {-1, 0, 1}
    assert sizes(more=1.0, most=2) == {-2, -1, 0, 1, 2}
    assert max(sizes(more=1.0, most=5)) == 5


# --- dataflow ---------------------------------------------------------------------------------------------------------


def only(way: str) -> dict[str, Any]:
    return dict.fromkeys(("insert", "bypass", "exchange", "rewire"), 0.0) | {way: 1.0, "most": 1}


@pytest.mark.parametrize(("way", "sizes"), [("insert", {1}), ("bypass", {0}), ("exchange", {0}), ("rewire", {0})])
def test_each_change_of_the_flow_touches_one_place(way: str, sizes: set[int]) -> None:
    proposer = made("dataflow", **only(way))
    for seed in range(200):
        child = propose(proposer, ADAMW, seed)
        assert len(child.statements) - len(ADAMW.statements) in sizes | {0}
        kept = Counter(child.statements) & Counter(ADAMW.statements)
        assert sum(kept.values()) >= len(ADAMW.statements) - 1


def test_a_bypassed_operation_gives_way_to_an_argument() -> None:
    for seed in range(50):
        child = propose(made("dataflow", **only("bypass")), ADAMW, seed)
        changed = [(old, new) for old, new in zip(ADAMW.statements, child.statements, strict=True) if old != new]
        for old, new in changed:
            assert (new.target, new.op) == (old.target, COPY)
            assert new.args[0] in old.args


def test_an_inserted_operation_reads_the_value_that_it_stands_on() -> None:
    """y = f(g): the child computes f(op(g, ...)), or op(f(g), ...)."""
    for seed in range(100):
        child = propose(made("dataflow", **only("insert")), SGD, seed)
        if len(child.statements) == 1:
            continue
        first, second = child.statements
        assert (first == SGD.statements[0] and "update" in second.args) or first.target in second.args


# --- constants --------------------------------------------------------------------------------------------------------


def skeleton(candidate: Program) -> tuple:
    return tuple(
        (t, op, tuple(a if isinstance(a, str) else None for a in args)) for t, op, args in candidate.statements
    )


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_constants_never_change_the_skeleton(seed: int) -> None:
    proposer, child = made("constants"), ADAMW
    for step in range(30):
        child, parent = propose(proposer, child, seed + step), child
        assert child != parent
        assert skeleton(child) == skeleton(ADAMW)


def test_constants_in_dead_code_are_passed_over() -> None:
    proposer = made("constants", attempts=200, most=1)
    for seed in range(50):
        child = propose(proposer, DEAD_CONSTANT, seed)
        assert live_key(child) != live_key(DEAD_CONSTANT)
        assert child.statements[0] == DEAD_CONSTANT.statements[0]
    plain = Constants(ConstantsOptions(until_changed=False, most=1), space())
    touched = [propose(plain, DEAD_CONSTANT, seed).statements[0] != DEAD_CONSTANT.statements[0] for seed in range(200)]
    assert 60 < sum(touched) < 140


def test_a_program_without_constants_is_its_own_child() -> None:
    assert propose(made("constants"), SGD, 0) == SGD


# --- random programs --------------------------------------------------------------------------------------------------


def test_fresh_programs_forget_the_parent_and_have_all_lengths() -> None:
    proposer = RandomProgram(RandomOptions(fresh=1.0, longest=10), space())
    children = [propose(proposer, ADAMW, seed) for seed in range(500)]
    lengths = Counter(len(child.statements) for child in children)
    assert set(lengths) == set(range(1, 11))
    assert stats.chisquare(list(lengths.values())).pvalue > 1e-3
    # of AdamW's names only those of the signature come back
    assert not any(statement.target == "sqrt_v" for child in children for statement in child.statements)


def test_walks_are_of_all_lengths_and_leave_the_parent() -> None:
    proposer = RandomProgram(RandomOptions(longest=20), space())
    children = [propose(proposer, ADAMW, seed) for seed in range(150)]
    changes = [len(set(child.statements) ^ set(ADAMW.statements)) for child in children]
    assert min(changes) <= 2
    assert max(changes) >= 12
    assert np.mean([live_key(child) != live_key(ADAMW) for child in children]) > 0.8


def test_the_two_sorts_mix() -> None:
    proposer = RandomProgram(RandomOptions(fresh=0.5, longest=3), space())
    kept = [ADAMW.statements[3] in propose(proposer, ADAMW, seed).statements for seed in range(200)]
    assert 60 < sum(kept) < 140


def test_frozen_hyper_parameters_stay():
    """The others move: constants, and whatever else mutation changes."""
    config = load_config("optimizers", ["start=[lion]", "frozen=[beta1, weight_decay]"])
    worker = Worker(config, load_starts(config), "mutation", None)
    parent = parse(load_starts(config)[0], OPTIMIZER, LIBRARY)
    first, seen = parent, set()
    for seed in range(150):
        child = worker._propose(parent, np.random.default_rng(seed))
        for name in config.frozen:
            assert [s for s in child.statements if s.target == name] == [
                s for s in first.statements if s.target == name
            ]
        seen.update(s for s in child.statements if s.target == "beta2")
        parent = child if len(child.statements) > 4 else first
    assert len(seen) > 1


def test_a_frozen_name_must_be_there():
    with pytest.raises(ValueError, match="frozen: a name must be assigned to in a start program, got 'beta9'"):
        load_starts(load_config("optimizers", ["start=[lion]", "frozen=[beta9]"]))
