"""Tasks: their mathematics, their data, their digests, and how they are found by name."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
import scipy.signal
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.optimizers import data
from evaluators.optimizers.task import LARGE_LEARNING_RATES, LEARNING_RATES, Task, check
from evaluators.optimizers.tasks import HELD_OUT_TASKS, LARGER_TASKS, SEARCH_TASKS, attention, load_task
from evaluators.optimizers.tasks.networks import convolve, cross_entropy, dense, normal
from evaluators.optimizers.tasks.terrain import AHEAD, BLOCK, CONTEXT
from primitives.layout import Layout

ROOT = Path(__file__).parents[1]
ALL = [*SEARCH_TASKS, *LARGER_TASKS, *HELD_OUT_TASKS]
CLASSES = {
    "digits_mlp": 10,
    "digits_deep_mlp": 10,
    "mnist_mlp": 10,
    "mnist_cnn": 10,
    "mnist_deep_mlp": 10,
    "digits_mlp_10x": 10,
    "digits_mlp_100x": 10,
    "digits_vit": 10,
    "char_lm": 48,
    "char_lm_10x": 48,
    "char_lm_100x": 48,
    "char_lm_large": 48,
    "char_transformer": 48,
    "breast_cancer_logistic": 2,
}
SOURCES = [value for value in vars(data).values() if isinstance(value, data.Source)]

# Each compiled function runs once here, so that compiling counts.
QUICKLY_COMPILED = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

task = cache(load_task)


def tiny(**changes: object) -> Task:
    """Least squares with two parameters."""
    inputs = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    fields = {
        "name": "tiny",
        "layout": Layout(((2,),)),
        "initial": lambda rng: rng.standard_normal(2).astype(np.float32),
        "loss": lambda flat, batch: jnp.mean((batch[0] @ flat) ** 2),
        "train": (inputs[:20],),
        "valid": (inputs[20:25],),
        "test": (inputs[25:],),
        "batch": 4,
        "steps": 5,
    }
    return Task(**{**fields, **changes})  # pyright: ignore[reportArgumentType]


TINY = tiny()
NO_TASK = 3


def has_no_data() -> Task:
    raise KeyError("data")


def needs_arguments(size: int) -> Task:
    return tiny(batch=size)


def breaks() -> Task:
    return tiny(loss=lambda flat, batch: flat @ jnp.ones(7))


# The mathematics of every task


def draw(t: Task, seed: int = 0) -> np.ndarray:
    return t.initial(np.random.default_rng(seed))


@cache
def training(name: str) -> tuple[float, float, float]:
    """Validation loss at zero parameters, at initial ones, and after up to 100 steps of Adam (one compilation)."""
    t = task(name)
    steps = min(t.steps, 100)
    order = np.random.default_rng(0).integers(0, len(t.train[0]), (steps, t.batch)).astype(np.int32)
    train, valid = (tuple(map(jnp.asarray, arrays)) for arrays in (t.train, t.valid))
    adam = optax.adam(optax.cosine_decay_schedule(0.01, steps))

    @QUICKLY_COMPILED
    def run(weights: jax.Array) -> jax.Array:
        def step(carry: tuple, rows: jax.Array) -> tuple:
            weights, state = carry
            gradient = jax.grad(t.loss)(weights, tuple(array[rows] for array in train))
            update, state = adam.update(gradient, state, weights)
            return (optax.apply_updates(weights, update), state), None

        (end, _), _ = jax.lax.scan(step, (weights, adam.init(weights)), jnp.asarray(order))
        return jax.lax.map(lambda w: t.loss(w, valid), jnp.stack([jnp.zeros_like(weights), weights, end]))

    zero, start, end = np.asarray(run(draw(t))).tolist()
    return zero, start, end


@pytest.mark.parametrize("name", ALL)
def test_shapes_agree(name: str) -> None:
    t = task(name)
    weights = draw(t)
    loss, gradient = jax.eval_shape(jax.value_and_grad(t.loss), *t.arguments)
    assert weights.shape == gradient.shape == (t.layout.size,)
    assert weights.dtype == gradient.dtype == loss.dtype == np.float32
    assert loss.shape == ()
    assert t.name == name
    assert t.doc


@pytest.mark.parametrize("name", ALL)
def test_loss_at_zero_parameters_is_known(name: str) -> None:
    """All logits equal give log(classes), outputs of zero the mean square of the targets."""
    targets = task(name).valid[-1]
    squares = targets.reshape(len(targets), -1).astype(np.float64) ** 2
    known = np.log(CLASSES[name]) if name in CLASSES else squares.sum(axis=1).mean()
    assert training(name)[0] == pytest.approx(known, rel=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_initial_loss_is_near_that_of_zero_parameters(name: str) -> None:
    zero, start, _ = training(name)
    assert 0.8 * zero < start < (zero + 0.8 if name in CLASSES else 2.5 * zero)


@pytest.mark.parametrize("name", ALL)
def test_adam_learns(name: str) -> None:
    _, start, end = training(name)
    assert end < 0.8 * start


@pytest.mark.parametrize("name", ALL)
def test_gradient_agrees_with_finite_differences(name: str) -> None:
    t = task(name)
    step = 1e-6
    with jax.enable_x64(True):
        weights = jnp.asarray(draw(t), jnp.float64)
        direction = np.random.default_rng(1).standard_normal(t.layout.size) / np.sqrt(t.layout.size)
        batch = tuple(jnp.asarray(array[:16]) for array in t.train)

        @QUICKLY_COMPILED
        def slopes(weights: jax.Array, direction: jax.Array) -> tuple[jax.Array, jax.Array]:
            ahead, back = jax.lax.map(lambda h: t.loss(weights + h * direction, batch), jnp.array([step, -step]))
            return jax.grad(t.loss)(weights, batch) @ direction, (ahead - back) / (2 * step)

        exact, difference = slopes(weights, direction)
    assert exact.dtype == np.float64
    assert float(exact) == pytest.approx(float(difference), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_gradient_needs_neither_gather_nor_scatter(name: str) -> None:
    """Their gradients are not reproducible on GPUs."""
    t = task(name)
    traced = str(jax.make_jaxpr(jax.value_and_grad(t.loss))(*t.arguments))
    assert "scatter" not in traced
    assert "gather" not in traced


@pytest.mark.parametrize("name", ALL)
def test_initial_parameters(name: str) -> None:
    t = task(name)
    np.testing.assert_array_equal(draw(t, 5), draw(t, 5))
    assert (draw(t, 5) != draw(t, 6)).any()
    for shape, tensor in zip(t.layout.shapes, t.layout.split(draw(t)), strict=True):
        if len(shape) == 1:
            assert not tensor.any()
        else:
            assert tensor.std() > 0


@pytest.mark.parametrize("name", SEARCH_TASKS)
def test_search_tasks_are_small_but_no_smaller_than_a_gradient_needs(name: str) -> None:
    t = task(name)
    assert 2000 <= t.layout.size <= 5000
    assert 64 <= t.batch <= 128
    assert t.learning_rates == LEARNING_RATES


@pytest.mark.parametrize("name", LARGER_TASKS)
def test_larger_tasks_have_the_compute_that_they_state(name: str) -> None:
    """Compute is parameters * steps * batch."""
    small, times = name.rsplit("_", 1)
    large, search = (t.layout.size * t.steps * t.batch for t in (task(name), task(small)))
    low, high = {"10x": (8, 13), "100x": (80, 125)}[times]
    assert small in SEARCH_TASKS
    assert low <= large / search <= high
    assert task(name).learning_rates == LARGE_LEARNING_RATES


@pytest.mark.parametrize("name", [name for name in LARGER_TASKS if name.startswith("digits")])
def test_larger_tasks_have_the_images_of_the_search(name: str) -> None:
    small = task(name.rsplit("_", 1)[0])
    for split, arrays in task(name).splits.items():
        np.testing.assert_array_equal(arrays[0], small.splits[split][0])


@pytest.mark.parametrize("name", ALL)
def test_lanes_are_half_decades(name: str) -> None:
    exponents = 2 * np.log10(task(name).learning_rates)
    np.testing.assert_allclose(exponents, np.round(exponents), atol=1e-9)
    np.testing.assert_allclose(np.diff(exponents), 1)


# Logistic regression, of which the optimum is known


@cache
def logistic() -> tuple[Task, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    """Breast cancer, and its training loss and gradient in float64."""
    t = task("breast_cancer_logistic")
    with jax.enable_x64(True):
        train = tuple(jnp.asarray(array, jnp.float64 if array.dtype == np.float32 else None) for array in t.train)
        run = QUICKLY_COMPILED(jax.value_and_grad(lambda w: t.loss(w, train)))

    def evaluate(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with jax.enable_x64(True):
            loss, gradient = run(jnp.asarray(w, jnp.float64))
        return np.asarray(loss), np.asarray(gradient)

    return t, evaluate


@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 30.0))
@settings(max_examples=30, deadline=None)
def test_logistic_regression_is_convex(seed: int, scale: float) -> None:
    """Its loss lies above each tangent, which says the same: f(b) >= f(a) + f'(a) (b - a)."""
    t, evaluate = logistic()
    a, b = scale * np.random.default_rng(seed).standard_normal((2, t.layout.size))
    (at_a, slope), (at_b, _) = evaluate(a), evaluate(b)
    assert at_b >= at_a + slope @ (b - a) - 1e-9 * (1.0 + at_a)


def test_logistic_regression_has_the_infimum_zero() -> None:
    """A plane parts the training examples (linear programming), so the loss falls to 0 along its normal."""
    t, evaluate = logistic()
    features, labels = t.train
    sides = np.where(labels == 1, 1.0, -1.0)[:, None] * np.column_stack([features, np.ones(len(labels))])
    count = sides.shape[1]
    found = scipy.optimize.linprog(np.zeros(count), -sides, -np.ones(len(sides)), bounds=[(None, None)] * count)
    assert found.success
    normal_of_plane = np.zeros((count, 2))
    normal_of_plane[:, 1] = found.x
    losses = [float(evaluate(length * normal_of_plane.ravel())[0]) for length in (1.0, 10.0, 40.0)]
    assert losses[0] < np.log1p(np.exp(-1.0)) + 1e-9
    assert losses[1] < np.exp(-10.0)
    assert losses[2] < np.exp(-40.0)


def test_no_optimizer_passes_the_optimum_of_logistic_regression() -> None:
    """With decay c/2 |w|^2 the loss is strongly convex: F >= F(o) - |F'(o)|^2 / 2c, where L-BFGS gives o."""
    t, evaluate = logistic()
    decay = 1e-4

    def decayed(w: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slope = evaluate(w)
        return float(loss) + decay / 2 * float(w @ w), slope + decay * w

    start = draw(t).astype(np.float64)
    options = {"maxiter": 5000, "maxfun": 5000, "ftol": 0.0, "gtol": 1e-8}
    found = scipy.optimize.minimize(decayed, start, jac=True, method="L-BFGS-B", options=options)
    bound = found.fun - float(found.jac @ found.jac) / (2 * decay)
    assert found.fun - bound < 1e-8
    reached = []
    for optimizer in (optax.adam(0.1), optax.adam(1.0), optax.sgd(1.0), optax.lion(0.03)):
        w, state, update = start, optimizer.init(start), QUICKLY_COMPILED(optimizer.update)
        for _ in range(t.steps):
            change, state = update(decayed(w)[1], state, w)
            w = np.asarray(w + change, np.float64)
        reached.append(decayed(w)[0])
    assert min(reached) >= bound
    assert min(reached) < 2 * bound


# Parts of networks against authorities


@pytest.mark.parametrize(("size", "stride", "channels"), [(1, 1, 3), (3, 1, 2), (5, 2, 1), (2, 3, 2)])
def test_convolve_agrees_with_scipy(size: int, stride: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((channels, 9, 8, 2)).astype(np.float32)
    weights = rng.standard_normal((size, size, channels, 3)).astype(np.float32)
    biases = rng.standard_normal(3).astype(np.float32)
    ours = QUICKLY_COMPILED(convolve, static_argnums=(3, 4))(images, weights.reshape(-1, 3), biases, size, stride)
    for example, output in itertools.product(range(2), range(3)):
        pairs = zip(images[..., example], np.moveaxis(weights[..., output], 2, 0), strict=True)
        theirs = biases[output] + sum(scipy.signal.correlate2d(image, kernel, "valid") for image, kernel in pairs)
        np.testing.assert_allclose(ours[output, ..., example], theirs[::stride, ::stride], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (4, 2), (3, 4)])
def test_convolve_of_signals_agrees_with_scipy(size: int, stride: int) -> None:
    rng = np.random.default_rng(0)
    signals, weights, biases = (rng.standard_normal(s).astype(np.float32) for s in ((2, 11, 3), (size, 2, 4), (4,)))
    ours = QUICKLY_COMPILED(convolve, static_argnums=(3, 4))(signals, weights.reshape(-1, 4), biases, size, stride)
    for example, output in itertools.product(range(3), range(4)):
        pairs = zip(signals[..., example], weights[..., output].T, strict=True)
        theirs = biases[output] + sum(scipy.signal.correlate(signal, kernel, "valid") for signal, kernel in pairs)
        np.testing.assert_allclose(ours[output, :, example], theirs[::stride], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_agrees_with_jax(causal: bool) -> None:
    rng = np.random.default_rng(0)
    batch, places, heads, size = 2, 5, 3, 4
    width = heads * size
    hidden, inward, outward = (
        jnp.asarray(rng.standard_normal(s), jnp.float32)
        for s in ((batch, places, width), (width, 3 * width), (width, width))
    )
    query, key, value = (part.reshape(batch, places, heads, size) for part in jnp.split(hidden @ inward, 3, axis=-1))
    mixed = jax.nn.dot_product_attention(query, key, value, is_causal=causal)
    theirs = mixed.reshape(batch, places, width) @ outward
    ours = QUICKLY_COMPILED(partial(attention.attend, heads=heads, causal=causal))(hidden, inward, outward)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_normalized_vectors_have_the_mean_square_of_their_gain() -> None:
    hidden = jnp.asarray(7.0 * np.random.default_rng(0).standard_normal((4, 5, 16)), jnp.float32)
    normalized = attention.normalize(hidden, jnp.full(16, 0.5))
    np.testing.assert_allclose(jnp.mean(normalized**2, axis=-1), 1.5**2, rtol=1e-5)


def test_causal_blocks_see_no_later_place() -> None:
    rng = np.random.default_rng(0)
    tensors = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in attention.shapes(8, 2)]
    hidden = jnp.asarray(rng.standard_normal((1, 6, 8)), jnp.float32)
    run = QUICKLY_COMPILED(partial(attention.transform, tensors, heads=2, causal=True))
    ours, other = (run(h) for h in (hidden, hidden.at[:, 4:].add(1.0)))
    np.testing.assert_allclose(ours[:, :4], other[:, :4], rtol=1e-5)
    assert (ours[:, 4:] != other[:, 4:]).any()


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 50.0))
@settings(max_examples=10, deadline=None)
def test_cross_entropy_agrees_with_optax(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits = jnp.asarray(scale * rng.standard_normal((5, 10)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 10, 5), jnp.int32)
    theirs = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    assert float(cross_entropy(logits, labels)) == pytest.approx(float(theirs), rel=1e-5)


def test_normal_has_the_deviation_of_its_gain() -> None:
    layout = dense(400, 300, 200)
    first_layer, bias, second_layer, _ = layout.split(normal(layout, [1, 2])(np.random.default_rng(0)))
    assert first_layer.std() == pytest.approx((1 / 400) ** 0.5, rel=0.02)
    assert second_layer.std() == pytest.approx((2 / 300) ** 0.5, rel=0.02)
    assert not bias.any()


# Data


@given(count=st.integers(3, 300), salt=st.text(max_size=5))
@settings(max_examples=50)
def test_split_is_a_partition(count: int, salt: str) -> None:
    parts = data.split(count, salt)
    assert sorted(np.concatenate(parts)) == list(range(count))
    np.testing.assert_allclose([len(part) for part in parts], [0.6 * count, 0.2 * count, 0.2 * count], atol=1)
    for ours, again in zip(parts, data.split(count, salt), strict=True):
        np.testing.assert_array_equal(ours, again)


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("char_")])
def test_no_example_is_in_two_splits(name: str) -> None:
    rows = [{row.tobytes() for row in arrays[0]} for arrays in task(name).splits.values()]
    assert sum(map(len, rows)) == len(set.union(*rows))


def test_texts_share_no_paragraph() -> None:
    search, held_out = data.text(data.TOPICS_A), data.text(data.TOPICS_B)
    assert len(set(search + held_out)) == len(search + held_out)
    for paragraphs, name in ((search, "char_lm"), (held_out, "char_lm_large")):
        parts = data.split_text(paragraphs, name)
        assert sorted("".join(parts).splitlines()) == sorted(paragraphs)
        np.testing.assert_allclose(np.array(list(map(len, parts))) / sum(map(len, parts)), [0.6, 0.2, 0.2], atol=0.05)


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("char_")])
def test_text_tasks_keep_to_their_part_of_the_text(name: str) -> None:
    """Tasks on one text share its split: none is trained on what another is tested on."""
    source, salt = (data.TOPICS_B, "char_lm_large") if name in HELD_OUT_TASKS else (data.TOPICS_A, "char_lm")
    parts = data.split_text(data.text(source), salt)
    for part, (codes, following) in zip(parts, task(name).splits.values(), strict=True):
        some = np.column_stack([codes, following])[:: max(1, len(codes) // 50)]
        assert all("".join(data.ALPHABET[code] for code in row) in part for row in some)


def test_terrain_deals_whole_blocks_of_rows() -> None:
    """Every window is found in the map, in rows of its split: no height of one is in a window of another."""
    rows = np.lib.stride_tricks.sliding_window_view(data.terrain(), CONTEXT + AHEAD, axis=1)
    relative = (rows - rows[..., CONTEXT - 1 : CONTEXT]).astype(np.int16)
    row_of = {window.tobytes(): row for row, windows in enumerate(relative) for window in windows}
    splits = task("terrain_conv").splits.values()
    seen, ahead = (np.concatenate(arrays) for arrays in zip(*splits, strict=True))
    # Heights are whole metres, so the least step between two values is one.
    metres = [(part - origin) / np.diff(np.unique(part)).min() for part, origin in ((seen, seen[:, -1:]), (ahead, 0))]
    found = [row_of[window.tobytes()] for window in np.round(np.column_stack(metres)).astype(np.int16)]
    ends = np.cumsum([len(arrays[0]) for arrays in splits])[:-1]
    blocks = [{row // BLOCK for row in part} for part in np.split(np.array(found), ends)]
    assert sum(map(len, blocks)) == len(set.union(*blocks)) == len(rows) / BLOCK


@given(symbols=st.text(data.ALPHABET, min_size=9, max_size=60), context=st.integers(1, 6), limit=st.integers(1, 70))
@settings(max_examples=50)
def test_windows_are_read_off_the_text(symbols: str, context: int, limit: int) -> None:
    codes, following = data.windows(symbols, context)
    decoded = ["".join(data.ALPHABET[code] for code in row) for row in np.column_stack([codes, following])]
    assert decoded == [symbols[i : i + context + 1] for i in range(len(symbols) - context)]
    few, _ = data.windows(symbols, context, limit)
    assert len(few) == min(limit, len(codes))
    assert {row.tobytes() for row in few} <= {row.tobytes() for row in codes}


def test_windows_refuse_a_foreign_symbol() -> None:
    with pytest.raises(ValueError, match="got '!'"):
        data.windows("hello!", 2)


def test_tables_agree_with_scikit_learn() -> None:
    for ours, theirs in (
        (data.digits(), sklearn.datasets.load_digits(return_X_y=True)),
        (data.breast_cancer(), sklearn.datasets.load_breast_cancer(return_X_y=True)),
        (data.diabetes(), sklearn.datasets.load_diabetes(return_X_y=True, scaled=False)),
    ):
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our, their)


def test_mnist_has_500_images_a_class() -> None:
    images, labels = data.mnist()
    assert images.shape == (5000, 784)
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_array_equal(np.bincount(labels), 500)


@pytest.mark.parametrize("name", ALL)
def test_inputs_are_scaled(name: str) -> None:
    array = task(name).train[0]
    if array.dtype == np.uint8:
        assert array.max() < len(data.ALPHABET)
    elif "autoencoder" in name:
        assert (array.min(), array.max()) == (0, 1)
    else:
        assert array.mean() == pytest.approx(0, abs=1e-3)
        assert array.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path)
def test_data_are_pinned(source: data.Source) -> None:
    assert source.read()
    with pytest.raises(ValueError, match=f"must have SHA-256 0000.*reinstall {source.install}"):
        replace(source, sha256="0" * 64).read()


def test_corpus_is_of_the_stated_size() -> None:
    for source in (data.TOPICS_A, data.TOPICS_B):
        content = source.read().decode("ascii")
        assert 100_000 <= len(content) <= 200_000
        assert set(content) == set(data.ALPHABET)


@pytest.mark.parametrize("install", ["matplotlib", "mlxtend", "scikit-learn"])
def test_missing_package_is_named(install: str) -> None:
    source = next(source for source in SOURCES if source.install == install)
    with pytest.raises(ValueError, match=f"found no package 'no_such_package'; run: pip install {install}"):
        replace(source, package="no_such_package").read()
    with pytest.raises(ValueError, match=f"No such file or directory; run: pip install {install}"):
        replace(source, path="data/no_such_file.csv").read()


# Digests


def test_digest_and_import_in_another_process() -> None:
    """Another process finds the same digests, and reads no data before it is asked to."""
    program = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "from evaluators.optimizers.tasks import SEARCH_TASKS, load_task\n"
        "assert not [path for path in opened if path.endswith(('.csv', '.gz', '.npz')) or 'corpus' in path]\n"
        "print(*[load_task(name).digest for name in SEARCH_TASKS])\n"
        "assert 'sklearn' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [task(name).digest for name in SEARCH_TASKS]


def test_digests_differ_and_repeat() -> None:
    assert len({task(name).digest for name in ALL}) == len(ALL)
    for name in SEARCH_TASKS:
        assert load_task(name).digest == task(name).digest


def test_digest_hangs_on_what_losses_depend_on() -> None:
    (inputs,) = TINY.train
    changed = inputs.copy()
    changed[7, 1] += 1e-6
    scale = jnp.asarray([1.0, 2.0])
    same = [replace(TINY), replace(TINY, name="other", doc="other"), replace(TINY, train=(inputs.copy(),))]
    others = [
        replace(TINY, train=(changed,)),
        replace(TINY, valid=TINY.test),
        replace(TINY, test=TINY.valid),
        replace(TINY, batch=5),
        replace(TINY, steps=6),
        replace(TINY, learning_rates=LEARNING_RATES[:-1]),
        replace(TINY, learning_rates=(*LEARNING_RATES[:-1], 0.5)),
        replace(TINY, layout=Layout(((1,), (1,)))),
        replace(TINY, initial=lambda rng: 2 * rng.standard_normal(2).astype(np.float32)),
        replace(TINY, loss=lambda flat, batch: jnp.mean((batch[0] @ flat) ** 4)),
        replace(TINY, loss=lambda flat, batch: jnp.mean((batch[0] @ (flat * scale)) ** 2)),
        replace(TINY, loss=lambda flat, batch: jnp.mean((batch[0] @ (flat * scale[::-1])) ** 2)),
    ]
    assert {t.digest for t in same} == {TINY.digest}
    assert len({t.digest for t in [TINY, *others]}) == len(others) + 1


def test_digest_sees_a_gradient_of_its_own() -> None:
    def make(factor: float) -> Task:
        @jax.custom_vjp
        def square(x: jax.Array) -> jax.Array:
            return x * x

        square.defvjp(lambda x: (x * x, x), lambda x, g: (factor * x * g,))
        return replace(TINY, loss=lambda flat, batch: jnp.mean(square(batch[0] @ flat)))

    assert make(2.0).digest == make(2.0).digest != make(3.0).digest


# Tasks by name, and bad tasks


def test_loading_a_task_of_the_users_own() -> None:
    assert load_task(f"{__name__}:TINY") is TINY
    assert load_task(f"{__name__}:tiny").name == "tiny"


@pytest.mark.parametrize(
    ("changes", "batch", "steps"),
    [("batch=16", 16, 60), ("steps=100", 64, 100), ("batch=256,steps=100", 256, 100), ("steps=1,batch=1078", 1078, 1)],
)
def test_a_variant_changes_what_it_names(changes: str, batch: int, steps: int) -> None:
    original, variant = task("digits_mlp"), load_task(f"digits_mlp@{changes}")
    assert (variant.name, variant.batch, variant.steps) == (f"digits_mlp@{changes}", batch, steps)
    assert variant.digest == replace(original, batch=batch, steps=steps).digest != original.digest


def test_a_variant_of_the_users_own() -> None:
    assert load_task(f"{__name__}:TINY@batch=2").batch == 2


@pytest.mark.parametrize(
    "changes",
    [
        "",
        "batch",
        "batch=",
        "batch=0",
        "batch=-1",
        "batch=1.5",
        "batch=1e2",
        "batch= 16",
        "batch=016",
        "batch=\u0661",
        "batch=99999999999",
        "width=3",
        "batch=16,",
        "batch=16,batch=16",
        "steps=5,batch=16,steps=6",
        "batch=16;steps=5",
        "batch=16@steps=5",
    ],
)
def test_a_wrong_variant_is_told(changes: str) -> None:
    with pytest.raises(ValueError, match=r"must stand batch=N or steps=N, each at most once.*; write") as told:
        load_task(f"digits_mlp@{changes}")
    assert f"got {changes!r} in {f'digits_mlp@{changes}'!r}" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_variant_must_fit_its_task() -> None:
    with pytest.raises(ValueError, match="task 'digits_mlp@batch=1079': batch must be from 1 to the 1078 training"):
        load_task("digits_mlp@batch=1079")
    with pytest.raises(ValueError, match=r"got 'digit_mlp'; did you mean 'digits_mlp'\?"):
        load_task("digit_mlp@batch=16")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit_mlp", "a task must be one of digits_mlp, .*got 'digit_mlp'; did you mean 'digits_mlp'?"),
        ("zzz", "a task must be one of digits_mlp, .*got 'zzz'; check the spelling"),
        ("", "got ''"),
        (":", "a task must be importable"),
        ("no.such.module:TASK", "must be importable, got 'no.such.module:TASK': No module named 'no'"),
        (f"{__name__}:MISSING", "has no attribute 'MISSING'; check the spelling and the path"),
        (f"{__name__}:NO_TASK", "must be a Task or a function that makes one, got int"),
        (f"{__name__}:Task", "must be a Task or a function that makes one, got Task"),
        (f"{__name__}:needs_arguments", "must make its Task when called without arguments, got TypeError.*'size'"),
        (f"{__name__}:has_no_data", "must make its Task when called without arguments, got KeyError.*; mend"),
        (f"{__name__}:breaks", "loss must be pure JAX"),
    ],
)
def test_a_wrong_name_is_told(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_task(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": ()}, "train, valid and test must hold the same arrays"),
        ({"valid": (np.ones((3, 2)),)}, "train, valid and test must hold the same arrays"),
        ({"test": (np.ones((0, 2), np.float32),)}, "the arrays of test must have the same, positive number"),
        ({"batch": 21}, "batch must be from 1 to the 20 training examples, got 21"),
        ({"batch": 0}, "batch must be from 1 to the 20 training examples, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"learning_rates": ()}, "learning rates must be positive and ascending"),
        ({"learning_rates": (0.0, 0.1)}, "learning rates must be positive and ascending"),
        ({"learning_rates": (0.1, 0.1)}, "learning rates must be positive and ascending"),
        ({"learning_rates": (0.1, float("nan"))}, "learning rates must be positive and ascending"),
    ],
)
def test_fields_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"task 'tiny': .*{message}"):
        tiny(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial": lambda rng: rng.standard_normal(2)}, r"shape \(2,\), got float64"),
        ({"initial": lambda rng: np.ones(3, np.float32)}, r"shape \(2,\), got float32 of shape \(3,\)"),
        ({"initial": lambda rng: np.full(2, np.nan, np.float32)}, "must draw finite"),
        ({"loss": lambda flat, batch: batch[0] @ flat}, "must be one float32 number"),
        ({"loss": lambda flat, batch: float(flat[0])}, "loss must be pure JAX .*got ConcretizationTypeError"),
        ({"loss": lambda flat: flat.sum()}, "loss must be pure JAX .*got TypeError"),
        ({"loss": lambda flat, batch: (flat.sum(), flat)}, "must be one float32 number"),
    ],
)
def test_functions_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(tiny(**changes))
