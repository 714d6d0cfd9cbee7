"""What an update rule sees in a few steps, for tests that hold several executions to each other."""

import numpy as np

from primitives.layout import Layout

LAYOUT = Layout(((4, 3), (3,)))
STEPS = 3


def draw_inputs(seed: int) -> list[dict]:
    """Inputs of a few steps: magnitudes from 1e-4 to 3, both signs, exact zeros; noise and curvature within 1, where
    `arcsin` lives (the sign of NaN is 0 in PyTorch)."""
    rng = np.random.default_rng(seed)
    inputs = []
    for t in range(STEPS):
        g = rng.normal(size=LAYOUT.size) * 10.0 ** rng.uniform(-4.0, 0.5, LAYOUT.size)
        g[t::5] = 0.0
        w, lr = rng.normal(size=LAYOUT.size), np.float64(rng.uniform(1e-3, 0.5))
        w.flags.writeable = g.flags.writeable = False  # no execution may write to its inputs
        inputs.append({"w": w, "g": g, "lr": lr, "t": np.float64(t + 1)})
        inputs[-1] |= {"value": np.float64(rng.uniform(0.1, 3.0)), "noise": rng.uniform(-1.0, 1.0, LAYOUT.size)}
        inputs[-1]["hessian_diagonal"] = rng.uniform(-1.0, 1.0, LAYOUT.size)
    return inputs
