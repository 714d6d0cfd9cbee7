"""Fingerprint: a hash of what a program does, equal for programs that do the same in different ways.

A graph runs for a few steps on fixed inputs, the probe, in float64. The outputs (not the state: which variable holds
what does not matter) are cut to about 20 bits of mantissa and hashed, so that algebraically equal programs, which
differ in the last bits, nearly always share a fingerprint.

References: Real et al. 2020, "AutoML-Zero"; Gillard et al. 2023, "Unified Functional Hashing in Automatic Machine
Learning".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite

import numpy as np

from primitives.graph import Graph
from primitives.layout import Layout
from primitives.primitive import Vocabulary
from primitives.program import key_of
from primitives.reference import prepare, zero_state

_CUT = 32
"""Bits of the 52-bit mantissa that are rounded away."""
_HALF = np.uint64(1 << (_CUT - 1))
_KEPT = np.uint64((1 << 64) - (1 << _CUT))


@dataclass(frozen=True, eq=False)
class Probe:
    """Fixed inputs on which behaviour is observed.

    Args:
        layout: shapes of the parameter tensors.
        inputs: for every name that a signature may use, one float64 value a step: (D,), (L,) or 0-d.
        tiny: outputs below this magnitude count as 0; the default is the smallest normal float32, which programs
            that run in float32 can't tell from 0.
        beyond: how many of the last steps may have outputs that are not finite: that they are is behaviour there.

    Raises:
        ValueError: there is no input, or inputs have different numbers of steps.
    """

    layout: Layout
    inputs: Mapping[str, Sequence[np.ndarray | np.float64]]
    tiny: float = 2.0**-126
    beyond: int = 0

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.inputs.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"all inputs of a probe must have the same number of steps, got {lengths}; mend it")

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(next(iter(self.inputs.values())))


def observe(graph: Graph, vocabulary: Vocabulary, probe: Probe) -> np.ndarray | None:
    """Returns the outputs that are no state on the probe, (steps, entries of all outputs), from zero state.

    None where one is NaN or infinite at a step where it may not be.
    """
    code = prepare(graph, vocabulary, probe.layout)
    steps = probe.steps
    columns = [probe.inputs[name] for name in graph.inputs]
    rows = zip(*columns, strict=True) if columns else [()] * steps
    outputs, next_state = code.outputs, code.next_state
    widths = [probe.layout.count(kind) for kind in graph.output_kinds]
    observed = np.empty((steps, sum(widths)))
    nothing = np.zeros(sum(widths))
    state = zero_state(graph, probe.layout)
    with np.errstate(all="ignore"):
        for step, (row, inputs) in enumerate(zip(observed, rows, strict=True)):
            registers = code.run(np, inputs, state)
            state = [registers[r] for r in next_state]
            end = 0
            for register, width in zip(outputs, widths, strict=True):
                start, end = end, end + width
                row[start:end] = registers[register]
            if step < steps - probe.beyond and not isfinite(row.dot(nothing)):  # 0 * NaN and 0 * inf are NaN
                return None
    return observed


def fingerprint(graph: Graph, vocabulary: Vocabulary, probe: Probe) -> int | None:
    """Returns the signed 64-bit fingerprint of a graph's behaviour on a probe.

    With y the outputs in order of steps: hash(round_20(y)), where round_20 keeps 20 bits of mantissa (to nearest),
    what is smaller than `probe.tiny` becomes 0, -0 is +0, and all NaN are one.

    Args:
        graph: a canonical graph (a merely checked one gives the same and takes longer).
        vocabulary: the primitives it uses.
        probe: where to observe.

    Returns:
        The fingerprint, or None where an output is NaN or infinite.
    """
    observed = observe(graph, vocabulary, probe)
    if observed is None:
        return None
    observed[np.abs(observed) < probe.tiny] = 0.0
    if probe.beyond:
        observed[np.isnan(observed)] = np.nan
    bits = observed.view(np.uint64)
    bits += _HALF
    bits &= _KEPT
    return key_of(bits.tobytes())


_GRADIENT_SCALES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 3e-3, 1e-3, 1e-3, 1e-10, 0.0, 0.03, 1e-3, 1e-10)
"""One an entry; the second tensor (the last three) is smaller than the first; `_MORE` entries stand before it."""
_MORE = 81
"""Entries of the first tensor beyond these, of the scale 0.1: norms grow with the number of entries, and a bound on the
norm of an update (lr sqrt(D) for a rule that takes signs) acts in training where D is some thousands."""
_GRADIENT_STEPS = (1.0, 0.02, 0.6, 0.3, 1.0, 1000.0)
"""At the second step the gradient is small: clipping by global norm does nothing there. At the last it is far larger
than 1, as early in training: a bound on the norm of a momentum acts there, and functions leave their domain."""
_LEARNING_RATES = (1e-3, 0.03, 0.3, 1e-4, 0.01, 0.1)
"""The largest at a step where the gradient is large: the norm of an update then comes to about 3."""
_TIMES = (1.0, 2.0, 3.0, 4.0, 1000.0, 1001.0)


def _spread(n: int, start: int) -> np.ndarray:
    """(n,) numbers in [-1, 1), spread evenly and without pattern; exact in IEEE arithmetic, so the same everywhere."""
    return (np.arange(start, start + n) * 0.6180339887498949) % 1.0 * 2.0 - 1.0


@lru_cache(maxsize=1)
def optimizer_probe() -> Probe:
    """Returns the probe of update rules: a tall and a wide matrix and a vector, six steps, all inputs.

    What it must tell apart, and what therefore stands in it:

    - |g| < 1 in every entry of the first five steps, so that `arcsin` and `arctanh` live; magnitudes of 1, 1e-3 and
      1e-10 (the guard of division shows), exact zeros (the gradient of a dead pixel is 0), both signs, signs that turn
      over the steps;
    - `w` that moves, with |w| < 1 and a second tensor that starts at 0, as biases do;
    - global norms of `g` above and below `lr`, so that clipping by it acts at some steps only, and norms of updates
      from 1e-3 to 3, so that clipping them does;
    - a last step with |g| up to 1000: a bound on the norm of a momentum acts there, and what has no value shows that;
    - `lr` over three decades and `t` up to 1000, so that bounds on them show.

    Products of a few of these stay far from underflow in float64: (1e-10)^30 = 1e-300.
    """
    scales = np.array([*_GRADIENT_SCALES[:12], *[0.1] * _MORE, *_GRADIENT_SCALES[12:]])
    n, steps = len(scales), len(_GRADIENT_STEPS)
    gradients, weights = [], []
    for step, factor in enumerate(_GRADIENT_STEPS):
        turn = _spread(n, 1 + 7 * n * step)
        # Magnitudes in [0.5, 1) of the scale: the scale of an entry is the same over the steps, as in training.
        gradient = scales * factor * (0.5 * turn + np.copysign(0.4999, turn))
        gradient[8], gradient[10] = np.copysign(1e-3, gradient[8]), np.copysign(1e-10, gradient[10])
        gradient[(step + 5) % 10] = 0.0
        gradients.append(gradient + 0.0)
        weights.append(0.5 * _spread(n, 1000) + 0.05 * step * _spread(n, 2000 + 11 * step))
        weights[-1][-3:] = weights[-1][-3:] * 0.2 * step + 0.0
    inputs = {
        "w": tuple(weights),
        "g": tuple(gradients),
        "lr": tuple(np.float64(x) for x in _LEARNING_RATES),
        "t": tuple(np.float64(x) for x in _TIMES),
        "value": tuple(np.float64(1.0 + scale) for scale in _GRADIENT_STEPS),
        "noise": tuple(2.0 * _spread(n, 3000 + 13 * n * step) for step in range(steps)),
        "hessian_diagonal": tuple(_spread(n, 5000 + 3 * step) + 0.5 for step in range(steps)),
    }
    for array in (*weights, *gradients, *inputs["noise"], *inputs["hessian_diagonal"]):
        array.flags.writeable = False
    return Probe(Layout(((23, 3), (4, 6), (3,))), inputs, beyond=1)
