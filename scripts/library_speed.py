"""A step of the library's optimizers beside those of optax and PyTorch, on ten million parameters.

    python scripts/library_speed.py                 docs/library_speed.md

The machine should be quiet. Times are medians over interleaved rounds in one process, memory is that of processes of
their own.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from archive.library import load
from discovery.device import describe

SHAPES = (*((1000, 1000),) * 9, *((1000,),) * 10, (1000, 990))
"""Ten million parameters in twenty tensors."""
FLOAT32 = "muon in float32"
"""PyTorch's Muon with its iterations in the type of the parameters, which are in bfloat16 otherwise."""
OPTAX = ("adam", "adamw", "lion", "heavy_ball", "muon")
TORCH = ("adam", "adamw", "heavy_ball", "muon", FLOAT32)
"""Rules that PyTorch has too."""
MB = 1e6


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for shape in SHAPES]


def torch_step(name: str, ours: bool) -> Callable[[], None]:
    """Returns a step of an optimizer of PyTorch, its gradients always the same."""
    import torch

    params = [torch.nn.Parameter(torch.from_numpy(x)) for x in arrays(0)]
    for p, g in zip(params, arrays(1), strict=True):
        p.grad = torch.from_numpy(g)
    theirs: Mapping[str, Callable[[], Any]] = {
        "adam": lambda: torch.optim.Adam(params, 1e-3, foreach=True),
        "adamw": lambda: torch.optim.AdamW(params, 1e-3, foreach=True),
        "heavy_ball": lambda: torch.optim.SGD(params, 1e-3, momentum=0.9, foreach=True),
        "muon": lambda: torch.optim.Muon(params, 1e-3, weight_decay=0.0),  # it takes matrices only
    }
    if name in ("muon", FLOAT32):
        params = [p for p in params if p.ndim == 2]
    if name == FLOAT32:
        in_float32()
        name = "muon"
    optimizer = load(name).torch(params, 1e-3) if ours else theirs[name]()
    return optimizer.step


def in_float32() -> None:
    """Keeps PyTorch's Newton-Schulz iterations from casting to bfloat16."""
    import torch
    from torch.optim import _muon as module

    cast = torch.Tensor.bfloat16
    iterate = module._zeropower_via_newtonschulz  # noqa: SLF001

    def whole(*args: Any) -> Any:
        torch.Tensor.bfloat16 = lambda x: x  # type: ignore[method-assign]
        try:
            return iterate(*args)
        finally:
            torch.Tensor.bfloat16 = cast  # type: ignore[method-assign]

    module._zeropower_via_newtonschulz = whole  # noqa: SLF001


def optax_step(name: str, ours: bool) -> Callable[[], None]:
    """Returns a jitted step of a transformation that gives old parameters and state away."""
    import jax
    import jax.numpy as jnp
    import optax

    theirs: Mapping[str, Callable[[], Any]] = {
        "adam": lambda: optax.adam(1e-3),
        "adamw": lambda: optax.adamw(1e-3, weight_decay=0.01),
        "lion": lambda: optax.lion(1e-3, weight_decay=0.1),
        "heavy_ball": lambda: optax.sgd(1e-3, momentum=0.9),
        "muon": lambda: optax.contrib.muon(1e-3),
    }
    transformation = load(name).optax(1e-3) if ours else theirs[name]()
    grads = [jnp.asarray(g) for g in arrays(1)]
    params = [jnp.asarray(p) for p in arrays(0)]
    held: list[Any] = [params, transformation.init(params)]

    def step(params: Any, state: Any) -> Any:
        updates, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))

    def run() -> None:
        held[:] = compiled(*held)
        jax.block_until_ready(held)

    return run


KINDS = {"optax": (optax_step, OPTAX), "torch": (torch_step, TORCH)}


def times(rounds: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Returns median seconds a step, ours and theirs, by kind and rule."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for kind, (make, names) in KINDS.items():
        found[kind] = {}
        for name in names:
            steps = [make(name, ours) for ours in (True, False)]
            taken: list[list[float]] = [[], []]
            for number in range(rounds + 2):
                for step, seconds in zip(steps, taken, strict=True):
                    began = time.perf_counter()
                    step()
                    if number >= 2:  # the first ones compile and make the state
                        seconds.append(time.perf_counter() - began)
            found[kind][name] = (statistics.median(taken[0]), statistics.median(taken[1]))
            print(kind, name, [f"{1e3 * x:.1f} ms" for x in found[kind][name]], file=sys.stderr)
    return found


def memory(kind: str, name: str, ours: bool) -> float:
    """Returns the peak of resident memory above what is held before the first step, in bytes."""
    command = [sys.executable, __file__, "--child", json.dumps([kind, name, ours])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def child(asked: str) -> None:
    kind, name, ours = json.loads(asked)
    step = KINDS[kind][0](name, ours)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = status("VmRSS")
    for _ in range(3):
        step()
    print(status("VmHWM") - before)


def status(field: str) -> float:
    """Returns a figure of this process in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * float(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


def page(found: dict[str, dict[str, tuple[float, float]]], peaks: dict[tuple[str, str], tuple[float, float]]) -> str:
    from importlib.metadata import version

    command = f"python scripts/{' '.join([Path(__file__).name, *sys.argv[1:]])}"
    machine = describe()
    lines = [
        "# Speed of the library",
        "",
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {machine['processor']},",
        f"{os.cpu_count()} cores, CPU, JAX {version('jax')}, optax {version('optax')}, torch {version('torch')}.",
        "",
        "A step on ten million parameters in twenty tensors, float32: the library's optimizer beside the same rule of",
        "optax (both jitted, old parameters and state given away) or of PyTorch (`foreach=True`). Medians of",
        "interleaved rounds in one process. Memory is the peak above what is held before the first step: parameters,",
        "gradients, for optax the state; each in a process of its own, compilation included.",
        "",
        "| beside | rule | ours (ms) | theirs (ms) | ratio | peak memory, ours (MB) | theirs (MB) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, rules in found.items():
        for name, (ours, theirs) in rules.items():
            mine, other = peaks[kind, name]
            lines.append(
                f"| {kind} | {name} | {1e3 * ours:.1f} | {1e3 * theirs:.1f} | {ours / theirs:.2f} | {mine / MB:.0f} | "
                f"{other / MB:.0f} |"
            )
    return "\n".join(
        [
            *lines,
            "",
            "PyTorch has no Lion, and its Muon takes matrices only (so does ours there) and iterates in bfloat16; ours",
            "keeps the type of the parameters, as PyTorch's does in the row in float32.",
            "",
        ]
    )


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 25,
    out: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("docs/library_speed.md"),
    asked: Annotated[str | None, typer.Option("--child", hidden=True)] = None,
) -> None:
    """Measures time and memory and writes the page."""
    if asked is not None:
        child(asked)
        return
    found = times(rounds)
    peaks = {
        (kind, name): (memory(kind, name, True), memory(kind, name, False)) for kind in found for name in found[kind]
    }
    out.write_text(page(found, peaks), "utf-8")


if __name__ == "__main__":
    typer.run(main)
