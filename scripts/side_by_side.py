"""Evidence: what training programs side by side gains on this process's device, and that it changes no bits.

    python scripts/side_by_side.py                  the device that JAX takes; widths 1, 32, 128, 256
    JAX_PLATFORMS=cpu python scripts/side_by_side.py --width 1

Prints a table of milliseconds a program by task and width, over programs as breeding makes them, compilation aside;
and a digest of the losses on each task, to be compared between machines and after the compilation cache is emptied.
"""

import hashlib
import time
from typing import Annotated

import numpy as np
import typer

from discovery.bench.breeding import population
from discovery.config_file import load_config
from discovery.device import configure, describe

PROGRAMS = 256
"""Programs that are trained; one by one, the first 16 of them."""


def main(
    width: Annotated[list[int] | None, typer.Option(help="Programs side by side; may be given several times.")] = None,
) -> None:
    """Prints the table and the digests."""
    configure()
    from evaluators.optimizers.tasks import load_task
    from evaluators.optimizers.training import Training, Wanted
    from primitives.encode import Capacity
    from primitives.ops import LIBRARY
    from primitives.program import OPTIMIZER

    config, machine = load_config("optimizers"), describe()
    graphs = [graph for _, graph in population(config, PROGRAMS)]
    print(f"{machine['processor']}, {machine['device']}; JAX {machine['jax']}, commit {machine['commit']}")
    for task in map(load_task, config.evaluation["tasks"]):
        for programs in width or (1, 32, 128, 256):
            run = Training(task, LIBRARY, OPTIMIZER, Capacity(), width=programs)
            wanted = [Wanted(run.load(graph), i % 3, i % 2) for i, graph in enumerate(graphs)]
            wanted = wanted[: PROGRAMS if programs > 1 else 16]
            losses = np.stack(run.run_all(wanted, task.steps))
            began = time.perf_counter()
            again = np.stack(run.run_all(wanted[::-1], task.steps))[::-1]
            taken = 1e3 * (time.perf_counter() - began) / len(wanted)
            alone = np.stack([run.run_all([one], task.steps)[0] for one in wanted[:8]])
            equal = np.array_equal(losses, again, equal_nan=True) and np.array_equal(losses[:8], alone, equal_nan=True)
            digest = hashlib.sha256(losses[:16].tobytes()).hexdigest()[:12]
            print(f"{task.name} | {programs} | {taken:.2f} ms | in any order and alone {equal} | {digest}", flush=True)


if __name__ == "__main__":
    typer.run(main)
