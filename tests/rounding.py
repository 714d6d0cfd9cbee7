"""How far two honest executions of one program may part: what rounding does to that program, measured.

A random program may amplify a last-bit difference without bound (a sine of a huge number, the sign of a difference that
should be zero), so no fixed tolerance holds. Here the reference runs several times with every argument and every result
of every instruction moved by a few last bits, the freedom that an implementation has (contracted multiply-adds, other
polynomials for `exp`, other orders of a sum, subnormal numbers flushed to zero). Where these runs stay close together
an execution must be just as close, and finite; where none of them is finite it must not be finite either. What is left,
a few percent of what random programs give, is decided by rounding alone; the rest is held to about 1e-14.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from primitives.graph import Graph
from primitives.layout import Layout
from primitives.primitive import Vocabulary
from primitives.reference import prepare, zero_state

ULPS = 4.0
"""Size of the moves."""


@dataclass(frozen=True)
class Band:
    """What honest executions may give.

    Args:
        value: (steps, entries) outputs of the reference.
        tolerance: (steps, entries) largest distance from `value`.
        close: (steps, entries) where all runs are finite and agree to three digits.
        non_finite: (steps, entries) where no run is finite, in a program that is nowhere chaotic.
    """

    value: np.ndarray
    tolerance: np.ndarray
    close: np.ndarray
    non_finite: np.ndarray

    def check(self, actual: Any, slack: Any = 0.0) -> None:
        """Fails where `actual` (steps, entries) is not what an honest execution may give, up to `slack` beside."""
        actual = np.asarray(actual)
        assert actual.shape == self.value.shape
        assert np.isfinite(actual[self.close]).all(), "not finite where the reference is"
        assert not np.isfinite(actual[self.non_finite]).any(), "finite where the reference is not"
        value, tolerance = self.value[self.close], (self.tolerance + slack)[self.close]
        distance = np.abs(actual[self.close] - value)
        for i in np.flatnonzero(distance > tolerance)[:1]:
            raise AssertionError(f"off by {distance[i]:.3g} where {tolerance[i]:.3g} is allowed, value {value[i]!r}")


def band(
    graph: Graph,
    vocabulary: Vocabulary,
    layout: Layout,
    inputs: Sequence[Mapping[str, Any]],
    dtype: Any = np.float64,
    runs: int = 6,
) -> Band:
    """Returns the band of a program's outputs over the steps of `inputs`, from zero state."""
    value, all_values = _trajectory(graph, vocabulary, layout, inputs, dtype, None)
    rng = np.random.default_rng(0)
    moved = [_trajectory(graph, vocabulary, layout, inputs, dtype, rng) for _ in range(runs)]
    spread, close, non_finite = _compare(value, [outputs for outputs, _ in moved])
    _, all_close, all_non_finite = _compare(all_values, [every for _, every in moved])
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        tolerance = 8.0 * spread + 32.0 * info.eps * np.abs(value) + 8.0 * info.tiny
    return Band(value, tolerance, close, non_finite & (all_close | all_non_finite).all())


def _compare(value: np.ndarray, moved: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Largest distance of the moved values, where they are close to `value`, and where none is finite."""
    with np.errstate(all="ignore"):
        spread = np.abs(np.stack(moved) - value).max(0)
        close = np.isfinite(value) & (spread <= 1e-3 * np.abs(value) + np.sqrt(np.finfo(value.dtype).eps))
    return spread, close, np.asarray(~np.isfinite(np.stack([value, *moved])).any(0))


def _trajectory(
    graph: Graph,
    vocabulary: Vocabulary,
    layout: Layout,
    inputs: Sequence[Mapping[str, Any]],
    dtype: Any,
    rng: np.random.Generator | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (steps, entries) and everything on the way (steps, entries), moved where there is an `rng`."""
    code = prepare(graph, vocabulary, layout, dtype)
    state: Sequence[Any] = zero_state(graph, layout, dtype)
    rows, everything = [], []
    with np.errstate(all="ignore"):
        for step in inputs:
            given = [dtype(step[name]) for name in graph.inputs]
            if rng is None:
                registers = code.run(np, given, state)
            else:
                registers = [*given, *state, *code.constants]
                for fn, args in code.instructions:
                    near = {a: _move(registers[a], dtype, rng) for a in dict.fromkeys(args)}
                    moved = [near[a] for a in args]
                    if len(args) == 3:  # interpolate(x, x, 117.0) cancels within: what it adds up has errors apart
                        moved = [_move(registers[a], dtype, rng) for a in args]
                    registers.append(_move(fn(np, *moved), dtype, rng))
            rows.append(np.concatenate([np.ravel(registers[r]) for r in code.outputs]))
            everything.append(np.concatenate([np.ravel(x) for x in registers]))
            state = [registers[r] for r in code.next_state]
    return np.stack(rows), np.stack(everything)


def _move(x: Any, dtype: Any, rng: np.random.Generator) -> Any:
    """`x` up to `ULPS` last bits away; what is subnormal may become 0."""
    info = np.finfo(dtype)
    near = x * dtype(1.0 + ULPS * info.eps * rng.uniform(-1.0, 1.0, np.shape(x)))
    return dtype(np.where((np.abs(x) < info.tiny) & (rng.uniform(size=np.shape(x)) < 0.5), dtype(0.0), near))
