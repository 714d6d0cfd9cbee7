"""Mutation: children are valid, single edits, uniform where it is said, and reach every statement."""

import os
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from primitives.draws import Draws, generator, rescale
from primitives.graph import check
from primitives.kinds import TENSOR, Kind
from primitives.mutate import (
    adopt,
    delete_statement,
    insert_statement,
    is_valid,
    modify_argument,
    mutate,
    random_program,
    scale_constant,
)
from primitives.ops import LIBRARY
from primitives.primitive import Primitive, Vocabulary
from primitives.program import COPY, OPTIMIZER, Interface, Program, ProgramError, Signature, Statement
from primitives.text import parse, render

SIGNATURE = OPTIMIZER.signature(("w", "g", "m", "v", "lr"), ("update", "m", "v"))


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
LION = program(
    ("update", "interpolate", "g", "m", 0.9),
    ("update", "sign", "update"),
    ("m", "interpolate", "g", "m", 0.99),
    ("wd", "multiply", "w", 0.1),
    ("update", "add", "update", "wd"),
    ("update", "multiply", "update", "lr"),
)
SGD = program(("update", "multiply", "g", "lr"))
COPIES = program(("a", COPY, "g"), ("zero", COPY, 0.0), ("a", "subtract", "a", "zero"), ("update", COPY, "a"))
NO_ARGUMENTS = program(("update", "get_pi"))
STARTS = [ADAMW, LION, SGD, COPIES, NO_ARGUMENTS]
seeds = st.integers(0, 2**32 - 1)
starts = st.sampled_from(STARTS)


def draws(seed: int) -> Draws:
    return Draws(np.random.default_rng(seed))


def grown(start: Program, seed: int, steps: int) -> Program:
    """A program some mutations away from `start`."""
    source = draws(seed)
    for _ in range(steps):
        start = mutate(start, LIBRARY, source, 30) or start
    return start


def in_scope(candidate: Program) -> bool:
    known = {name for name, _ in candidate.signature.inputs}
    for target, _, args in candidate.statements:
        if any(isinstance(arg, str) and arg not in known for arg in args):
            return False
        known.add(target)
    return all(name in known for name, _ in candidate.signature.outputs)


def uniform(counts: list[int]) -> bool:
    return stats.chisquare(counts).pvalue > 1e-3


# --- validity ---------------------------------------------------------------------------------------------------------


@given(starts, seeds, st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_a_walk_of_mutations_stays_valid_and_within_the_limit(start: Program, seed: int, steps: int) -> None:
    source = draws(seed)
    for _ in range(steps):
        child = mutate(start, LIBRARY, source, 12)
        assert child is not None
        assert child != start
        assert child.signature == start.signature
        assert child.name == start.name
        check(child, LIBRARY, 12)
        start = child


@given(starts, seeds, st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_blocks_are_single_edits_with_variables_in_scope(start: Program, seed: int, steps: int) -> None:
    parent = grown(start, seed, steps)
    source, n = draws(seed + 1), len(parent.statements)
    before = repr(parent)
    for _ in range(5):
        inserted = insert_statement(parent, LIBRARY, source)
        assert inserted is not None
        assert in_scope(inserted)
        assert len(inserted.statements) == n + 1
        assert any(inserted.statements[:k] + inserted.statements[k + 1 :] == parent.statements for k in range(n + 1))
        deleted = delete_statement(parent, source)
        if deleted is not None:
            assert in_scope(deleted)
            assert len(deleted.statements) == n - 1
            assert any(parent.statements[:k] + parent.statements[k + 1 :] == deleted.statements for k in range(n))
        modified = modify_argument(parent, LIBRARY, source)
        if modified is not None:
            assert in_scope(modified)
            assert len(edits(parent, modified)) == 1
    assert repr(parent) == before


@given(starts, seeds, st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_children_can_be_written_and_read_back(start: Program, seed: int, steps: int) -> None:
    child = grown(start, seed, steps)
    assert parse(render(child, LIBRARY), OPTIMIZER, LIBRARY) == child


def edits(parent: Program, child: Program) -> list[tuple[str | float, str | float]]:
    """Pairs of arguments that differ; targets and operations must not."""
    pairs = list(zip(parent.statements, child.statements, strict=True))
    assert all(a[:2] == b[:2] and len(a.args) == len(b.args) for a, b in pairs)
    return [(old, new) for a, b in pairs for old, new in zip(a.args, b.args, strict=True) if old != new]


@given(st.integers(1, 25), seeds)
@settings(max_examples=100, deadline=None)
def test_random_programs_have_their_length_and_assign_every_output(length: int, seed: int) -> None:
    drawn = random_program(SIGNATURE, length, LIBRARY, draws(seed))
    assert drawn is not None
    assert len(drawn.statements) == length
    assert drawn.statements[-1].target == "update"
    check(drawn, LIBRARY)


def test_a_random_program_needs_room_for_its_outputs() -> None:
    with pytest.raises(ValueError, match="a statement for each of update, got 0"):
        random_program(SIGNATURE, 0, LIBRARY, draws(0))


def test_at_the_limit_nothing_is_inserted_and_mutation_finds_another_way() -> None:
    assert insert_statement(SGD, LIBRARY, draws(0), max_statements=1) is None
    assert all(len(mutate(SGD, LIBRARY, draws(seed), 1).statements) == 1 for seed in range(50))  # type: ignore[union-attr]


def test_nothing_to_do_gives_none() -> None:
    assert delete_statement(SGD, draws(0)) is None  # its one statement gives the output
    assert modify_argument(NO_ARGUMENTS, LIBRARY, draws(0)) is None
    assert scale_constant(SGD, draws(0)) is None
    assert scale_constant(program(("update", COPY, 0.0)), draws(0)) is None
    assert mutate(NO_ARGUMENTS, LIBRARY, draws(0), 1) is None
    assert mutate(ADAMW, LIBRARY, draws(0), accept=lambda child: False) is None


# --- randomness -------------------------------------------------------------------------------------------------------


@given(starts, seeds)
@settings(max_examples=50, deadline=None)
def test_the_child_is_a_function_of_the_seed(start: Program, seed: int) -> None:
    assert grown(start, seed, 10) == grown(start, seed, 10)


def test_children_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_primitives_mutate import ADAMW, grown\n"
        "print([grown(ADAMW, seed, 8).statements for seed in range(20)])"
    )
    root = Path(__file__).parents[1]
    texts = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1]
    assert texts[0] == f"{[grown(ADAMW, seed, 8).statements for seed in range(20)]}\n"


def test_a_generator_is_a_function_of_its_numbers() -> None:
    # these very numbers, in every process: runs are resumed
    assert generator(0, 5, 7).random(2).tolist() == [0.2603953865747246, 0.1970108266692593]
    assert generator(*np.array([0, 5, 7])).random() == generator(0, 5, 7).random()
    keys = [*product(range(5), repeat=3), (12, 3), (1, 23), (123,), (2**32,), (2**64, 0), (-1,), ()]
    assert len({generator(*key).random() for key in keys}) == len(keys)


def test_generators_of_neighbours_are_independent() -> None:
    blocks = np.array([[generator(1, batch, slot).random(4) for slot in range(100)] for batch in range(100)])
    assert stats.kstest(blocks.ravel(), "uniform").pvalue > 1e-3
    for axis in range(3):
        ahead, behind = np.delete(blocks, 0, axis), np.delete(blocks, -1, axis)
        assert abs(np.corrcoef(ahead.ravel(), behind.ravel())[0, 1]) < 0.02  # four standard errors


def test_blocks_of_draws_continue_and_follow_their_distributions() -> None:
    source = draws(3)
    assert stats.kstest([source.uniform() for _ in range(2_000)], "uniform").pvalue > 1e-3
    assert stats.kstest([source.normal() for _ in range(2_000)], "norm").pvalue > 1e-3
    assert uniform(list(Counter(source.below(7) for _ in range(7_000)).values()))
    assert {source.choice("abc") for _ in range(100)} == set("abc")


def test_insert_delete_and_modify_are_equally_likely() -> None:
    sizes = Counter(len(mutate(ADAMW, LIBRARY, draws(seed)).statements) for seed in range(3_000))  # type: ignore[union-attr]
    n = len(ADAMW.statements)
    assert uniform([sizes[n + 1], sizes[n - 1], sizes[n]])


def test_kinds_of_mutation_stay_equally_likely_where_most_children_are_refused() -> None:
    sizes: Counter[int] = Counter()
    for seed in range(1_500):
        source, coin = draws(seed), np.random.default_rng(seed)
        # deletions are refused five times as often as the others
        child = mutate(
            ADAMW, LIBRARY, source, accept=lambda c, coin=coin: coin.random() < (0.2 if len(c.statements) == 7 else 1.0)
        )
        assert child is not None
        sizes[len(child.statements)] += 1
    assert uniform([sizes[7], sizes[8], sizes[9]])


# --- insert -----------------------------------------------------------------------------------------------------------


def inserted(parent: Program, seed: int, count: int, **options: float) -> list[tuple[int, Program]]:
    """Children with the place of the new statement, which must be unlike its neighbours."""
    source, found = draws(seed), []
    for _ in range(count):
        child = insert_statement(parent, LIBRARY, source, **options)  # type: ignore[arg-type]
        assert child is not None
        place = next(
            (k for k, (a, b) in enumerate(zip(parent.statements, child.statements, strict=False)) if a != b),
            len(parent.statements),
        )
        found.append((place, child))
    return found


def test_inserted_places_and_operations_are_uniform_and_complete() -> None:
    children = inserted(ADAMW, 5, 9_000)
    places = Counter(place for place, _ in children)
    assert set(places) == set(range(len(ADAMW.statements) + 1))
    assert uniform(list(places.values()))
    operations = Counter(child.statements[place].op for place, child in children)
    assert set(operations) == {one.name for one in LIBRARY.drawn if one.executable}
    assert uniform(list(operations.values()))


def test_every_statement_can_be_inserted() -> None:
    vocabulary = LIBRARY.restricted(["sign", "add"])
    source, seen = draws(7), set()
    for _ in range(120_000):  # the rarest statement is expected 20 times
        child = insert_statement(SGD, vocabulary, source)
        assert child is not None
        last = child.statements[-1]
        if child.statements[0] == SGD.statements[0]:
            seen.add((last.target, last.op, *(arg if isinstance(arg, str) else "#" for arg in last.args)))
    targets, args = ["w", "g", "m", "v", "lr", "update", "v1"], ["w", "g", "m", "v", "lr", "update", "#"]
    every = {(t, "sign", a) for t, a in product(targets, args)} | {
        (t, "add", a, b) for t, a, b in product(targets, args, args)
    }
    assert seen == every


def test_constants_of_the_program_are_used_again_and_fresh_ones_are_normal() -> None:
    fresh, again = [], set()
    for place, child in inserted(ADAMW, 9, 4_000):
        for arg in child.statements[place].args:
            if not isinstance(arg, str):
                (again.add if arg in (0.9, 0.999, 0.01) else fresh.append)(arg)
    assert again == {0.9, 0.999, 0.01}
    assert stats.kstest(fresh, "norm").pvalue > 1e-3


def used(candidate: Program, place: int) -> bool:
    """Whether an output or the next state is computed from the statement at `place` (by the graph of the check)."""
    graph = check(candidate, LIBRARY)
    reached, todo = set(), [*graph.outputs, *graph.next_state]
    while todo:
        ref = todo.pop()
        if ref not in reached:
            reached.add(ref)
            todo.extend(graph.nodes[ref - graph.first_node].args if ref >= graph.first_node else ())
    return graph.first_node + place in reached


def test_connected_statements_are_used_and_others_are_mostly_not() -> None:
    connected = [
        used(child, place) for place, child in inserted(ADAMW, 11, 400, connect=1.0) if is_valid(child, LIBRARY)
    ]
    loose = [used(child, place) for place, child in inserted(ADAMW, 11, 400, connect=0.0) if is_valid(child, LIBRARY)]
    assert len(connected) > 350
    assert all(connected)
    assert 0.0 < np.mean(loose) < 0.5


# --- delete -----------------------------------------------------------------------------------------------------------


@given(starts, seeds, st.integers(0, 25))
@settings(max_examples=40, deadline=None)
def test_deletion_reaches_exactly_what_may_go(start: Program, seed: int, steps: int) -> None:
    parent = grown(start, seed, steps)
    cut = [parent.statements[:k] + parent.statements[k + 1 :] for k in range(len(parent.statements))]
    wanted = {statements for statements in cut if in_scope(Program(SIGNATURE, statements))}
    source, found = draws(seed), set()
    for _ in range(12 * len(cut) + 12):
        child = delete_statement(parent, source)
        if child is not None:
            found.add(child.statements)
    assert found <= wanted
    # each of at most 26 is missed with probability (1 - 1/26)^(12 * 26) < 1e-5
    assert len(found) == len(wanted)


def test_deletions_are_uniform_over_what_may_go() -> None:
    source = draws(13)
    found = Counter(delete_statement(ADAMW, source) for _ in range(4_000))
    assert len(found) == 4  # m, v and two of the three assignments to `update`; g2, sqrt_v, wd and the first must stay
    assert uniform(list(found.values()))


# --- modify and scale -------------------------------------------------------------------------------------------------


def test_a_variable_becomes_every_other_variable_in_scope_or_a_fresh_constant() -> None:
    source, found, fresh = draws(17), Counter(), []
    parent = program(("a", "abs", "g"), ("update", "abs", "a"))
    for _ in range(8_000):
        child = modify_argument(parent, LIBRARY, source)
        assert child is not None
        if child.statements[0] == parent.statements[0]:
            (new,) = child.statements[1].args
            if isinstance(new, str):
                found[new] += 1
            else:
                fresh.append(new)
    assert set(found) == {"w", "g", "m", "v", "lr"}
    assert uniform(list(found.values()))
    assert stats.kstest(fresh, "norm").pvalue > 1e-3
    assert len(fresh) / (len(fresh) + found.total()) == pytest.approx(0.25, abs=0.03)


def test_a_declared_kind_gets_only_what_lifts_to_it() -> None:
    source, found = draws(19), set()
    parent = program(("s", "global_norm", "g"), ("update", "interpolate", "g", "m", 0.9))
    for _ in range(6_000):
        child = modify_argument(parent, LIBRARY, source)
        assert child is not None
        new = child.statements[1].args[2]
        found.add(new if isinstance(new, str) else "#")
        check(child, LIBRARY)
    assert found == {"#", "lr", "s"}


def test_scaled_constants_follow_their_law() -> None:
    source = draws(23)

    def sample(value: float) -> np.ndarray:
        children = (scale_constant(program(("update", COPY, value)), source) for _ in range(3_000))
        return np.array([child.statements[0].args[0] for child in children if child is not None])

    for value in (0.01, -3.0, 1.0, 0.5, 2.0):
        assert stats.kstest(np.log2(sample(value) / value), "norm").pvalue > 1e-3
    decays = sample(0.999)
    by_gap = lambda x: np.where(x < 1.0, stats.norm.sf(np.log2(np.maximum(1.0 - x, 1e-300) / (1.0 - 0.999))), 1.0)  # noqa: E731
    law = lambda x: 0.5 * stats.norm.cdf(np.log2(np.maximum(x, 1e-300) / 0.999)) + 0.5 * by_gap(x)  # noqa: E731
    assert stats.kstest(decays, law).pvalue > 1e-3


class Distance(Draws):
    """Draws that always scale the distance from 1, by 2^z."""

    def __init__(self, z: float) -> None:
        super().__init__(np.random.default_rng(0))
        self.z = z

    def uniform(self) -> float:
        return 0.0

    def normal(self) -> float:
        return self.z


@given(st.floats(0.5, 1.0, exclude_min=True, exclude_max=True), st.floats(-80.0, 20.0))
def test_a_scaled_distance_from_one_stays_below_one(value: float, z: float) -> None:
    scaled = rescale(value, Distance(z))
    assert scaled is not None
    assert scaled < 1.0
    # as far as float64 resolves numbers near 1
    assert 1.0 - scaled == pytest.approx((1.0 - value) * 2.0**z, rel=1e-12, abs=2.0**-52)


@given(seeds, st.sampled_from([1e308, -1e308, 5e-324, 1e-320]))
@settings(max_examples=100, deadline=None)
def test_scaling_at_the_edge_of_the_numbers_stays_finite(seed: int, value: float) -> None:
    source, parent = draws(seed), program(("update", "multiply", "g", value))
    for child in (scale_constant(parent, source), modify_argument(parent, LIBRARY, source)):
        if child is not None:
            check(child, LIBRARY)
            assert 0.0 not in child.statements[0].args


@given(starts, seeds, st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_scaling_changes_one_constant_and_nothing_else(start: Program, seed: int, steps: int) -> None:
    parent = grown(start, seed, steps)
    child = scale_constant(parent, draws(seed))
    if child is not None:
        ((old, new),) = edits(parent, child)
        assert isinstance(old, float)
        assert isinstance(new, float)
        assert (old > 0) == (new > 0) or 0.5 < old < 1.0


# --- kinds that never lift --------------------------------------------------------------------------------------------


def test_a_kind_that_constants_cannot_have_gets_variables_of_that_kind_only() -> None:
    left = Kind("LEFT")

    def first(xp: object, *args: object) -> object:
        return args[0]

    vocabulary = Vocabulary(
        (
            Primitive("gram", first, (TENSOR,), "x x^T", "{0}", output=left),
            Primitive("root", first, (left,), "x^(1/2)", "{0}", output=left),
            Primitive("apply", first, (left, TENSOR), "a x", "{0}", output=TENSOR),
            Primitive("add", first, (None, None), "a + b", "{0}"),
        )
    )
    parent = Program(Signature((("g", TENSOR),), (("update", TENSOR),)), (Statement("update", "add", ("g", 1.0)),))
    source, seen = draws(29), Counter()
    for _ in range(400):
        child = mutate(parent, vocabulary, source, 15)
        assert child is not None
        check(child, vocabulary)
        parent = child
        seen.update(statement.op for statement in child.statements)
    assert set(seen) == {"gram", "root", "apply", "add"}
    only = vocabulary.restricted(["root"])
    assert insert_statement(Program(parent.signature, ()), only, source) is None


# --- adopt ------------------------------------------------------------------------------------------------------------


def text(adopted: Program) -> tuple[list[str], list[str]]:
    return [name for name, _ in adopted.signature.inputs], [name for name, _ in adopted.signature.outputs]


def start(inputs: tuple[str, ...], outputs: tuple[str, ...], *statements: Statement) -> Program:
    return Program(OPTIMIZER.signature(inputs, outputs), statements)


def test_adoption_widens_the_signature_and_nothing_else() -> None:
    plain = start(("g", "lr"), ("update",), Statement("update", "multiply", ("g", "lr")))
    adopted = adopt(plain, OPTIMIZER, 2, ("w", "g", "lr"))
    assert text(adopted) == (["w", "g", "m", "v", "lr"], ["update", "m", "v"])
    assert adopted.statements == plain.statements
    check(adopted, LIBRARY)
    assert adopt(adopted, OPTIMIZER, 2, ("w", "g", "lr")) == adopted
    assert text(adopt(plain, OPTIMIZER, 0, ())) == (["g", "lr"], ["update"])
    assert text(adopt(plain, OPTIMIZER, 1, ("t",))) == (["g", "m", "lr", "t"], ["update", "m"])
    assert text(adopt(ADAMW, OPTIMIZER, 1, ())) == (["w", "g", "m", "v", "lr"], ["update", "m", "v"])


def test_adopted_state_avoids_names_in_use() -> None:
    taken = start(
        ("g", "v", "lr"),
        ("update", "v"),
        Statement("m", "multiply", ("g", "lr")),
        Statement("s3", "add", ("m", "v")),
        Statement("update", COPY, ("s3",)),
    )
    adopted = adopt(taken, Interface("train", OPTIMIZER.inputs, OPTIMIZER.outputs, (TENSOR,), 4), 4, ())
    assert adopted.signature.state == ("v", "s4", "s5", "s6")
    check(adopted, LIBRARY)


def test_adoption_refuses_what_the_interface_does_not_have() -> None:
    with pytest.raises(
        ProgramError, match="an input must be one of w, g, lr, t, value, noise, hessian_diagonal, got 'loss'"
    ):
        adopt(SGD, OPTIMIZER, 2, ("loss",))
    with pytest.raises(ProgramError, match="at most 8 state variables, got 9"):
        adopt(SGD, OPTIMIZER, 9, ())
