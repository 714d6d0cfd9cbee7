"""Training runs: against plain loops over optax, interpreted against compiled, lanes, schedule, early stop."""

import functools
import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_task import RATES, linear, regression

from archive import library
from discovery.bench.loops import BY_HAND, by_hand, floors
from evaluators.optimizers import training as trains
from evaluators.optimizers.training import Loaded, Training, Wanted, compiled, cosine, start
from primitives.encode import Capacity
from primitives.graph import Graph, check
from primitives.interpreter import executes
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER
from primitives.reference import step, zero_state
from primitives.simplify import canonicalize
from primitives.text import parse

STEPS = 20
USED = ("add", "subtract", "multiply", "divide", "interpolate", "power", "square", "sqrt", "sign", "arcsin",
        "clip_by_global_norm", "abs", "guarded_divide")  # fmt: skip
VOCABULARY = LIBRARY.restricted(USED)  # a machine with few branches compiles in a moment
CAPACITY = Capacity(tensors=16, smalls=32, instructions=32)

DIVERGES = """
def train(w, g, lr):
    update = g * lr
    update = update * 1e6
    return update
"""
OVERFLOWS_LAST = """
def train(w, g, lr):
    a = sign(g)
    a = abs(a)
    a = 1.0 - a
    a = a * w
    update = a * -1e30
    return update
"""
"""Where the gradient is zero, w grows by 1e30; elsewhere it stays."""


def graph_of(text: str) -> Graph:
    return canonicalize(check(parse(text, OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, "float32")


def rule(name: str) -> Graph:
    return graph_of(library.text(name))


@functools.cache
def training() -> Training:
    return Training(regression(), VOCABULARY, OPTIMIZER, CAPACITY, ("valid", "test"))


@functools.cache
def blind() -> Training:
    """A line of which the loss sees the slope alone; the two upper learning rates are far too high."""
    task = linear()
    sees_slope = replace(
        task, loss=lambda w, batch: task.loss(w * jnp.array([1.0, 0.0]), batch), learning_rates=(0.03, 1e3, 1e30)
    )
    return Training(sees_slope, VOCABULARY, OPTIMIZER, CAPACITY)


def losses(run: Training, graph: Graph, replicate: int = 0, steps: int = STEPS) -> np.ndarray:
    return run.losses(run.load(graph), replicate, steps, 2)


@functools.cache
def plain_step(make, loss, steps):
    @jax.jit
    def advance(rate, w, state, batch):
        optimizer = make(optax.cosine_decay_schedule(rate, steps))
        change, state = optimizer.update(jax.grad(loss)(w, batch), state, w)
        return optax.apply_updates(w, change), state

    return advance


def plain_loop(make, task, replicate: int, seeds: int, steps: int, split="valid") -> np.ndarray:
    """One lane after the other, batch after batch, with an optimizer of optax; never stops early."""
    found = np.empty((seeds, len(task.learning_rates)))
    advance = plain_step(make, task.loss, steps)
    for seed in range(seeds):
        for lane, rate in enumerate(task.learning_rates):
            rng = np.random.default_rng([replicate, seed])
            w = jnp.asarray(task.initial(rng))
            examples = len(task.train[0])
            order = np.concatenate([rng.permutation(examples) for _ in range(math.ceil(steps * task.batch / examples))])
            state = make(optax.cosine_decay_schedule(rate, steps)).init(w)
            for t in range(steps):
                rows = order[t * task.batch : (t + 1) * task.batch]
                w, state = advance(jnp.float32(rate), w, state, tuple(array[rows] for array in task.train))
            found[seed, lane] = task.loss(w, task.splits[split])
    return found


AUTHORITIES = {
    "sgd": optax.sgd,
    "heavy_ball": lambda rate: optax.sgd(rate, momentum=0.9),
    "adam": lambda rate: optax.adam(rate, eps=1e-8),
    "adamw": lambda rate: optax.adamw(rate, eps=1e-8, weight_decay=0.01),
    "lion": lambda rate: optax.lion(rate, b1=0.9, b2=0.99, weight_decay=0.1),
}


@pytest.mark.parametrize(
    ("name", "replicate", "steps"),
    [("sgd", 0, STEPS), ("heavy_ball", 3, 7), ("adam", 1, 7), ("adamw", 0, STEPS), ("lion", 2, STEPS)],
)
def test_agrees_with_a_plain_loop_over_optax(name, replicate, steps):
    found = losses(training(), rule(name), replicate, steps)
    expected = plain_loop(AUTHORITIES[name], regression(), replicate, 2, steps)
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_losses_of_all_splits_and_seeds_are_taken_at_the_same_end():
    run, sgd = training(), rule("sgd")
    expected = {split: plain_loop(optax.sgd, regression(), 1, 2, STEPS, split=split) for split in ("valid", "test")}
    for seed in (0, 1):
        valid, test = run.seed_losses(run.load(sgd), 1, seed, STEPS)
        np.testing.assert_array_equal(valid, losses(run, sgd, 1)[seed])
        np.testing.assert_allclose(valid, expected["valid"][seed], rtol=2e-4)
        np.testing.assert_allclose(test, expected["test"][seed], rtol=2e-4)


def test_what_the_interpreter_can_not_run_is_compiled():
    """Muon: matrices. Against its own export, in a plain loop."""
    run, graph, layout = Training(regression(), LIBRARY, OPTIMIZER, CAPACITY), rule("muon"), regression().layout
    assert run.machine.stranger(graph) is not None
    found = np.stack([run.seed_losses(run.load(graph), 1, seed, STEPS)[0] for seed in (0, 1)])

    def in_shape(rate: float) -> optax.GradientTransformation:
        inner = library.load("muon").optax(rate)

        def update(g: Any, state: Any, w: Any = None) -> Any:
            updates, state = inner.update(layout.split(g), state, layout.split(w))
            return jnp.concatenate([jnp.ravel(x) for x in updates]), state

        def init(w: Any) -> Any:
            return inner.init(layout.split(w))

        return optax.GradientTransformation(init, update)  # type: ignore[arg-type]

    expected = plain_loop(in_shape, regression(), 1, 2, STEPS)
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_a_rule_sees_the_loss_noise_and_curvature_of_its_batch():
    task = regression()
    w, batch = jnp.ones(task.layout.size), tuple(jnp.asarray(array[:8]) for array in task.train)
    seen = trains._seen(task, ("value", "noise", "hessian_diagonal"), w, batch, jax.random.key(0))
    assert seen["value"] == pytest.approx(float(task.loss(w, batch)))
    np.testing.assert_allclose(seen["g"], jax.grad(task.loss)(w, batch), rtol=1e-6)
    draws = [trains._seen(task, ("noise", "hessian_diagonal"), w, batch, jax.random.key(i)) for i in range(400)]
    noise = np.stack([one["noise"] for one in draws])
    assert abs(noise.mean()) < 0.1
    assert noise.std() == pytest.approx(1.0, abs=0.1)
    exact = np.diag(jax.hessian(task.loss)(w, batch))
    estimated = np.stack([one["hessian_diagonal"] for one in draws])
    error = 5.0 * estimated.std(0) / np.sqrt(len(draws)) + 1e-5
    assert (np.abs(estimated.mean(0) - exact) < error).all()
    assert set(trains._seen(task, (), w, batch, jax.random.key(0))) == {"g"}


def test_noise_is_fresh_at_every_step_and_seed():
    """A rule that adds up its noise: where noise came again, its square would grow with the square of the steps."""
    text = "def train(g, noise):\n    x = g * 0.0\n    update = x + noise\n    return update"
    task = replace(linear(), loss=lambda w, batch: 0.0 * jnp.sum(batch[0]) + jnp.sum(w), learning_rates=(1.0,))
    run = Training(task, LIBRARY, OPTIMIZER, CAPACITY)
    loaded = run.load(graph_of(text))
    found = np.array([run.seed_losses(loaded, replicate, seed, 16)[0] for replicate in range(6) for seed in range(6)])
    start_at = np.array([float(np.sum(start(task, r, (s,), 16).weights)) for r in range(6) for s in range(6)])
    moved = found[:, 0] - start_at
    assert len(np.unique(moved)) == len(moved)
    expected = np.sqrt(16 * task.layout.size)  # 16 times as much, were every step's noise the same
    assert 0.6 * expected < moved.std() < 1.6 * expected


@functools.cache
def rare() -> Training:
    """With a function of a tensor that no mutation draws beside those of `training`."""
    return Training(
        regression(), LIBRARY.restricted((*USED, "min", "max", "mean")), OPTIMIZER, CAPACITY, ("valid", "test")
    )


def test_what_mutation_never_draws_is_interpreted_too():
    run, graph = rare(), rule("fadam")
    assert run.machine.stranger(graph) == "mean"
    by_itself = compiled(run.task, graph, LIBRARY, 2, run.task.learning_rates, STEPS, ("valid", "test"))
    interpreted = [run.seed_losses(run.load(graph), 0, seed, STEPS) for seed in (0, 1)]
    np.testing.assert_allclose(np.stack(interpreted, axis=1), by_itself(0), rtol=2e-4)
    assert run._compiled.cache_info().currsize == 0


@pytest.mark.parametrize("name", ["adamw", "nesterov", "raw_lion"])
def test_instructions_that_a_program_does_not_use_change_no_bit(name):
    run, graph = rare(), rule(name)
    assert run.machine.executed < run._whole.executed
    of_all = Loaded(run._loop_whole, run._whole.encode(graph))
    np.testing.assert_array_equal(run.seed_losses(run.load(graph), 0, 0, STEPS), run.seed_losses(of_all, 0, 0, STEPS))


SIDE_BY_SIDE = ("adamw", "raw_lion", "fadam", "sgd", "lion", "muon")
"""Interpreted at once, interpreted when needed (`fadam`), compiled (`muon`)."""


@functools.cache
def pairs() -> tuple[Training, Training]:
    """One by one, and four side by side."""
    one, four = (
        Training(regression(), LIBRARY, OPTIMIZER, CAPACITY, ("valid", "test"), width=width) for width in (1, 4)
    )
    return one, four


@functools.cache
def wanted(which: int) -> list[Wanted]:
    run = pairs()[which]
    graphs = [rule(name) for name in SIDE_BY_SIDE] + [graph_of(DIVERGES)]
    return [Wanted(run.load(graph), number % 2, number % 3) for number, graph in enumerate(graphs)]


@functools.cache
def alone(number: int) -> np.ndarray:
    return pairs()[1].run_all([wanted(1)[number]], STEPS)[0]


def test_side_by_side_programs_train_as_one_by_one():
    found = [run.run_all(wanted(which), STEPS) for which, run in enumerate(pairs())]
    assert len(found[0]) == len(SIDE_BY_SIDE) + 1
    for one, four in zip(*found, strict=True):
        assert one.shape == four.shape == (2, len(RATES))
        np.testing.assert_allclose(four, one, rtol=2e-4)
    assert not np.isfinite(found[1][-1]).any(), "the last one diverges, those beside it do not"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(SIDE_BY_SIDE)), min_size=1, max_size=9))
def test_what_trains_beside_a_program_changes_no_bit(numbers):
    found = pairs()[1].run_all([wanted(1)[number] for number in numbers], STEPS)
    for number, losses in zip(numbers, found, strict=True):
        np.testing.assert_array_equal(losses, alone(number))


def test_no_more_programs_train_side_by_side_than_memory_has_room_for(monkeypatch):
    assert trains.usual_width(regression(), CAPACITY) == 1, "on a CPU"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert trains.usual_width(regression(), CAPACITY) == trains.MOST
    each = 4 * CAPACITY.tensors * len(RATES) * regression().layout.size
    for room, width in ((1, 1), (each, 1), (3 * each, 2), (4 * each, 4), (4 * each - 1, 2)):
        monkeypatch.setattr(trains, "REGISTER_BYTES", room)
        assert trains.usual_width(regression(), CAPACITY) == width


def test_all_that_mutation_draws_runs_on_what_is_compiled_first():
    drawn = {primitive.name for primitive in LIBRARY.drawn if executes(primitive)}
    machine = Training(regression(), LIBRARY, OPTIMIZER, CAPACITY).machine
    assert drawn < machine.executed < {name for name in LIBRARY if executes(LIBRARY[name])}


@pytest.mark.parametrize("name", ["adamw", "nesterov", "raw_lion"])
def test_interpreted_and_compiled_runs_agree(name):
    """The compiled run takes all seeds at once, the interpreted one after the other."""
    run, graph = training(), rule(name)
    by_itself = compiled(run.task, graph, LIBRARY, 2, run.task.learning_rates, STEPS, ("valid", "test"))
    for replicate in (0, 5):
        interpreted = [run.seed_losses(run.load(graph), replicate, seed, STEPS) for seed in (0, 1)]
        np.testing.assert_allclose(np.stack(interpreted, axis=1), by_itself(replicate), rtol=2e-4)


@pytest.mark.parametrize("name", BY_HAND)
def test_rules_written_by_hand_are_those_of_the_library(name):
    """What the benchmark compares the interpreter with does the same work."""
    lanes, layout, rng = 3, regression().layout, np.random.default_rng(0)
    graph, hand = rule(name), BY_HAND[name]
    w = rng.normal(size=(lanes, layout.size))
    rate = np.array([0.5, 0.1, 0.01])
    carry = hand.start(None, jnp.asarray(w, jnp.float32))
    states = [zero_state(graph, layout)] * lanes
    for t in range(1, 4):
        g = rng.normal(size=w.shape)
        given = {"g": jnp.asarray(g, jnp.float32), "lr": jnp.asarray(rate, jnp.float32), "t": jnp.float32(t)}
        carry = hand.step(None, carry, given)
        for i in range(lanes):
            values = {"w": w[i], "g": g[i], "lr": np.float64(rate[i]), "t": np.float64(t)}
            (update,), states[i] = step(graph, LIBRARY, layout, values, states[i])
            w[i] -= update
        np.testing.assert_allclose(hand.weights(carry), w, rtol=1e-4, atol=1e-5)


def test_a_loop_by_hand_trains_as_the_interpreter_does():
    run = training()
    at = start(run.task, 0, (0, 1), STEPS)
    np.testing.assert_allclose(by_hand(run.task, BY_HAND["sgd"], at)(), losses(run, rule("sgd")), rtol=2e-4)


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_floor_takes_every_gradient(seeds):
    """Its parameters move by 1e-9 of the sum of the gradients along the way, however it takes them."""
    task = regression()
    large = replace(task, loss=lambda w, batch: 1e6 * task.loss(w, batch))
    at = start(large, 0, range(seeds), STEPS)
    moved = [np.asarray(loop()).reshape(seeds, len(RATES), -1) for loop in floors(large, at).values()]
    assert len(moved) == (3 if seeds == 1 else 2)
    w, order, gradient = np.asarray(at.weights), np.asarray(at.order), jax.jit(jax.grad(large.loss))
    for seed in range(seeds):
        expected = w[seed]
        for rows in order[seed]:
            expected = expected - 1e-9 * gradient(expected, tuple(array[rows] for array in task.train))
        for one in moved:
            np.testing.assert_allclose(one[seed], np.tile(expected, (len(RATES), 1)), atol=1e-5)
            assert np.abs(one[seed] - w[seed]).max() > 1e-3


def test_the_same_run_gives_the_same_bits():
    first = losses(training(), rule("adamw"), 4)
    losses(training(), rule("sgd"), 1)
    np.testing.assert_array_equal(losses(training(), rule("adamw"), 4), first)
    assert (losses(training(), rule("adamw"), 5) != first).all()


# --- batches and schedule ---------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 50), st.integers(1, 3), st.integers(1, 30))
def test_batches_pass_over_the_data_in_permuted_epochs(replicate, seeds, steps):
    task = regression()
    at = start(task, replicate, range(seeds), steps)
    assert at.weights.shape == (seeds, task.layout.size)
    assert at.order.shape == (seeds, steps, task.batch)
    examples = len(task.train[0])
    for stream in np.asarray(at.order).reshape(seeds, -1):
        for first in range(0, len(stream), examples):
            epoch = stream[first : first + examples].tolist()
            assert len(set(epoch)) == len(epoch)
            assert set(epoch) <= set(range(examples))


@settings(max_examples=20)
@given(st.integers(0, 50), st.integers(1, 29))
def test_fewer_steps_and_fewer_seeds_see_the_same_beginning(replicate, steps):
    """So a stage is the beginning of a longer one, and programs, baselines and stages meet the same batches."""
    task = regression()
    long, short = start(task, replicate, (0, 1, 2), 30), start(task, replicate, (1,), steps)
    np.testing.assert_array_equal(long.weights[1:2], short.weights)
    np.testing.assert_array_equal(long.order[1:2, :steps], short.order)


@pytest.mark.parametrize("steps", [1, 7, 1000])
def test_the_schedule_is_the_cosine_of_optax(steps):
    t = np.arange(1, steps + 1, dtype=np.float32)
    expected = optax.cosine_decay_schedule(1.0, steps)(t - 1)
    np.testing.assert_allclose(cosine(jnp.asarray(t), jnp.float32(steps)), expected, atol=1e-6)


# --- divergence -------------------------------------------------------------------------------------------------------


def test_stops_early_with_what_the_full_run_gives():
    """Where all lanes diverge the run ends at once; the plain loop goes on to the end and finds nothing finite."""
    assert not np.isfinite(losses(training(), graph_of(DIVERGES))).any()
    full = plain_loop(lambda rate: optax.chain(optax.sgd(rate), optax.scale(1e6)), regression(), 0, 2, STEPS)
    assert not np.isfinite(full).any()


def test_a_lane_that_diverges_does_not_touch_the_others():
    found = losses(blind(), rule("sgd"))
    expected = plain_loop(optax.sgd, blind().task, 0, 2, STEPS)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=1e-4)
    assert np.isfinite(found[:, 0]).all()
    assert not np.isfinite(found[:, 2]).any()


def test_a_parameter_that_overflows_counts_though_no_loss_sees_it():
    """The run may have stopped at it, so its losses would be those of no certain step."""
    overflows = graph_of(OVERFLOWS_LAST)
    assert np.isfinite(plain_loop(optax.sgd, blind().task, 0, 2, STEPS)[:, 0]).all()
    assert not np.isfinite(losses(blind(), overflows)).any()


@pytest.mark.parametrize("steps", [0, STEPS + 1])
def test_refuses_steps_without_batches(steps):
    with pytest.raises(ValueError, match=f"1 to {STEPS} steps, got {steps}"):
        losses(training(), rule("sgd"), 0, steps)
