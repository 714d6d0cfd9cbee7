"""What optax expects of a transformation, for every rule of the library."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from archive import library
from primitives.kinds import SCALAR, TENSOR

EVERY = (*library.names(), "cautious_lion", "cautious_adamw")
CONVERGE = {  # learning rates that suit the problem; signs of fixed length need a schedule
    "sgd": 1e-2,
    "heavy_ball": 1e-3,
    "nesterov": 1e-3,
    "adagrad": 1.0,
    "rmsprop": 5e-3,
    "adadelta": 0.1,
    "adam": 1e-1,
    "adamw": 1e-1,
    "adamax": 1e-1,
    "nadam": 1e-2,
    "amsgrad": 1e-1,
    "amsgrad_corrected": 1e-1,
    "adam_uncorrected": 1e-2,
    "sign_sgd": 1e-1,
    "signum": 1e-1,
    "lion": 1e-2,
    "ademamix": 1e-3,
    "median_clipping": 1e-2,
    "median_clipping_l2": 1e-2,
    "optimistic_gd": 1e-2,
    "nadamw": 1e-2,
    "cautious_adamw": 1e-1,
    "cautious_lion": 1e-2,
    "normalized_gd": 1e-2,
    "lion_k_l2": 1e-2,
    "dog": 1.0,
    "ldog": 1.0,
    "prodigy": 1.0,
    "schedule_free_sgd": 1e-1,
    "schedule_free_adamw": 1e-1,
    "novograd": 1e-2,
    "induced_metric": 1e-1,
    "random_scaling_sgdm": 1e-2,
    "polyak_sgd": 1e-1,
    "ali_g": 1e-2,
    "mom_sps": 1e-1,
    "alr_smag": 1e-2,
    "sania_adam": 1.0,
    "muon": 1e-2,
    "mars": 1e-2,
    "gravity": 3.0,
    "adafactor": 1e-2,
    "sgdp": 1e-3,
    "adamp": 1e-1,
    "optimistic_amsgrad": 1e-2,
    "sophia": 1e-3,
    "adahessian": 1e-2,
    "oasis": 1e-2,
    "shampoo": 1.0,
    "lion_k_nuclear": 1e-2,
    "root": 1e-2,
    "turbo_muon": 1e-2,
    "asgo": 1e-2,
    "soap": 1e-2,
    "psgd_kron": 1e-2,
}
"""All but those whose weight decay is part of the rule (`raw_lion`, `adamw_uncorrected`, `fadam`), whose steps are in
proportion to parameters that begin at zero (`lars`, `lamb`), `sania_adagrad`, whose steps the first large gradients
shrink for good, and those that keep signs (`exponentiated_gradient`) or lengths (`riemannian_adam_sphere`)."""
FADING = {
    *("sign_sgd", "signum", "lion", "rmsprop", "adam_uncorrected", "cautious_lion", "normalized_gd", "lion_k_l2"),
    *("muon", "mars", "adafactor"),
    *("lion_k_nuclear", "root", "turbo_muon", "asgo", "psgd_kron"),
}
"""Rules whose steps do not shrink with the gradient."""


def params_and_grads(dtype: Any = jnp.float32) -> tuple[Any, Any]:
    params = {"a": jnp.array([[1.0, 0.5], [-0.5, 1.0], [1.0, 1.0]], dtype), "b": [jnp.full(2, -0.5, dtype)]}
    return params, jax.tree.map(lambda x: 0.1 * x + 0.01, params)


def extras(params: Any, value: Any = 1.0) -> dict[str, Any]:
    """What `update` may be given beside gradients."""
    return {"value": jnp.float32(value), "hessian_diagonal": jax.tree.map(jnp.ones_like, params)}


def buffers(state: Any) -> list[Any]:
    """The state but for the number of steps, which every part of a rule counts."""
    return [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]


def ours(name: str, rate: Any = 0.1, **hyperparameters: Any) -> Any:
    return library.load(name).optax(rate, **hyperparameters)


@pytest.mark.parametrize("name", EVERY)
def test_extra_arguments_are_taken_and_nothing_is_compiled_twice(name):
    params, grads = params_and_grads()
    transformation, traces = ours(name), 0

    @jax.jit
    def step(grads, state, params):
        nonlocal traces
        traces += 1
        return transformation.update(grads, state, params, **extras(params), unheard_of=3)

    state = transformation.init(params)
    for _ in range(3):
        updates, state = step(grads, state, params)
        params = optax.apply_updates(params, updates)
    assert traces == 1


def two_steps(transformation: Any, params: Any) -> Any:
    state = transformation.init(params)
    for _ in range(2):
        grads = jax.tree.map(lambda x: 0.1 * x + 0.01, params)
        updates, state = transformation.update(grads, state, params, **extras(params))
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", EVERY)
def test_tensors_without_entries_change_nothing(name):
    params, _ = params_and_grads()
    nothing = [jnp.zeros(shape) for shape in ((0,), (0, 3), (3, 0), (0, 0), (2, 0, 3))]
    alone = two_steps(ours(name), params)
    beside = two_steps(ours(name), {**params, "z": nothing})
    jax.tree.map(np.testing.assert_array_equal, {**alone, "z": nothing}, beside)
    two_steps(ours(name), nothing)
    two_steps(ours(name), {})


@pytest.mark.parametrize("name", EVERY)
def test_plain_numbers_are_parameters_too(name):
    """As for optax.adam."""
    params, _ = params_and_grads()
    found = two_steps(ours(name), {**params, "x": 0.5})
    same = two_steps(ours(name), {**params, "x": jnp.float32(0.5)})
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), found, same)


def quadratic(dtype: Any) -> tuple[Any, Any, Any]:
    start, end = jnp.array([-1.0, 10.0, 1.0], dtype), jnp.array([1.0, -1.0, 1.0], dtype)
    return start, end, lambda x: jnp.sum((x - end) ** 2)


def matrix(dtype: Any) -> tuple[Any, Any, Any]:
    end = {"m": jnp.array([[1.0, -2.0], [0.5, 3.0]], dtype), "v": jnp.array([1.0, -1.0], dtype)}
    start = jax.tree.map(jnp.zeros_like, end)
    scale = jnp.array([[1.0, 0.3], [0.3, 1.0]], dtype)
    return start, end, lambda x: jnp.sum((scale @ (x["m"] - end["m"])) ** 2) + jnp.sum((x["v"] - end["v"]) ** 2)


@pytest.mark.parametrize("problem", [quadratic, matrix])
@pytest.mark.parametrize("name", CONVERGE)
def test_it_converges(name, problem):
    steps, decay = 30_000, {"weight_decay": 0.0} if "weight_decay" in arguments(name) else {}
    rate: Any = CONVERGE[name]
    if name in FADING:
        rate = optax.cosine_decay_schedule(rate, steps)
    start, end, loss = problem(jnp.float32)
    transformation = ours(name, rate, **decay)

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = transformation.update(grads, state, params, **extras(params, value))
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (start, transformation.init(start)), length=steps)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=3e-2, atol=3e-2), params, end)


def arguments(name: str) -> list[str]:
    return [one.name for one in library.load(name).card.hyperparameters]


@pytest.mark.parametrize("name", ["adam", "adamw", "nesterov", "adamax"])
def test_it_converges_on_rosenbrock(name):
    decay = {"weight_decay": 0.0} if "weight_decay" in arguments(name) else {}
    transformation = ours(name, CONVERGE[name] / (10 if name != "nesterov" else 1), **decay)

    def loss(x):
        return (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = transformation.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    start: Any = jnp.array([0.0, 0.0])
    (params, _), _ = jax.lax.scan(step, (start, transformation.init(start)), length=30_000)
    np.testing.assert_allclose(params, [1.0, 1.0], rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("name", EVERY)
def test_state_maps_like_the_parameters(name):
    params, _ = params_and_grads()
    transformation = ours(name)
    state = transformation.init(params)
    doubled = optax.tree_utils.tree_map_params(transformation, lambda x: x + 1.0, state)
    numbers = {name for name, kind in library.load(name).program.signature.outputs if kind is SCALAR}
    pairs = zip(jax.tree.leaves_with_path(state), jax.tree.leaves(doubled), strict=True)
    for (path, old), new in pairs:
        one = any(getattr(key, "name", None) in {"count", *numbers} for key in path)  # no parameter has it
        np.testing.assert_array_equal(new, old if one else old + 1.0)


@pytest.mark.parametrize("name", EVERY)
def test_injected_hyper_parameters_change_nothing(name):
    """To 1e-5: they arrive as float32 arrays."""
    params, grads = params_and_grads()
    entry = library.load(name)
    plain = entry.optax(0.1)
    given = {one.name: one.default for one in entry.card.hyperparameters}
    injected = optax.inject_hyperparams(entry.optax)(learning_rate=0.1, **given)
    states = [plain.init(params), injected.init(params)]
    for _ in range(3):
        found = []
        for i, transformation in enumerate((plain, injected)):
            updates, states[i] = transformation.update(grads, states[i], params, **extras(params))
            found.append(updates)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *found)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("name", EVERY)
def test_types_are_kept(name, dtype):
    params, grads = params_and_grads(dtype)
    transformation = ours(name)
    updates, state = transformation.update(grads, transformation.init(params), params, **extras(params))
    assert {x.dtype for x in jax.tree.leaves(optax.apply_updates(params, updates))} == {jnp.dtype(dtype)}
    small = any(kind is not TENSOR for _, kind in library.load(name).program.signature.outputs)
    # state of few numbers, and what decompositions need, is float32
    assert {x.dtype for x in buffers(state)} <= {jnp.dtype(dtype), *([jnp.dtype("float32")] if small else [])}


@pytest.mark.parametrize("name", ["sgd", "adamw", "lion"])
def test_gradients_may_be_accumulated_and_parameters_partitioned(name):
    params, grads = params_and_grads()
    many: Any = optax.MultiSteps(ours(name), every_k_schedule=4)
    state: Any = many.init(params)
    for _ in range(4):
        updates, state = many.update(grads, state, params)
    once = ours(name)
    expected, _ = once.update(grads, once.init(params), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), updates, expected)

    parted: Any = optax.multi_transform({"x": ours(name), "y": optax.set_to_zero()}, {"a": "x", "b": ["y"]})
    updates, _ = parted.update(grads, parted.init(params), params)
    np.testing.assert_allclose(updates["a"], expected["a"], rtol=1e-6)
    assert not np.any(updates["b"][0])


UNSCHEDULED = {"lars", "schedule_free_sgd", "schedule_free_adamw", "mom_sps", "ali_g"}
UNSCHEDULED |= {"optimistic_amsgrad", "riemannian_adam_sphere"}
"""Rules that may move at learning rate 0: it is part of their state, they go on towards an average or to the sphere."""


@pytest.mark.parametrize("name", [name for name in EVERY if name not in UNSCHEDULED])
def test_the_learning_rate_may_be_a_schedule(name):
    params, grads = params_and_grads()
    falling = ours(name, optax.linear_schedule(0.1, 0.0, 2))
    state = falling.init(params)
    sizes = []
    for _ in range(3):
        updates, state = falling.update(grads, state, params, **extras(params))
        sizes.append(float(optax.tree.norm(updates)))
    assert max(sizes) > 0.0  # SOAP's first step only looks
    assert sizes[2] == pytest.approx(0.0, abs=1e-6)
