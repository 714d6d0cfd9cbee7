"""Numeric functions: what searches from y = x find, verified, beside textbook forms and random search.

    python scripts/numerics.py WORK                    2^x: 3 seeds of 30 minutes on 2 workers; then docs/numerics.md
    python scripts/numerics.py WORK --seeds 1 --budget 2m --out page.md

Runs are kept in WORK and found again. The machine should be quiet: a search has its time, whatever else goes on.
"""

import datetime
import sys
import threading
import time
from math import inf, isfinite
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import typer

from discovery.config import Config, options
from discovery.config_file import load_config
from discovery.device import describe
from discovery.progress import Progress
from discovery.report import summary
from discovery.run import Run
from evaluators.forms import canonical_graph
from evaluators.numerics import DOMAIN, textbook
from evaluators.numerics.fit import Code
from evaluators.numerics.judge import Judge, drawn
from evaluators.numerics.structure import read
from evaluators.numerics.targets import Target, chebyshev, target_of
from evaluators.numerics.verify import METHOD, Verified, verify
from primitives.graph import Graph

PUBLISHED = {2: 4.14e-2, 3: 1.23e-3, 5: 6.34e-6, 10: 3.55e-15}
"""Evolved programs for 2^x on (0, 1] of Real et al. 2023, largest relative errors recomputed with 40 digits."""
Row = dict[str, Any]


def searched(config: Config, folder: Path, workers: int, evaluations: int | None = None) -> dict[str, Any]:
    """Runs a search, unless it is there, and returns its summary; `evaluations` ends it where they are spent."""
    if not folder.exists():
        stop = threading.Event()

        def watch(progress: Progress) -> None:
            if evaluations is not None and progress.evaluations >= evaluations:
                stop.set()

        print("search:", folder, file=sys.stderr, flush=True)
        with Run.create(config, folder) as run:
            run.execute(workers, watch, stop)
    return summary(folder, top=1)


def verified(front: list[Row], target: Target) -> dict[int, tuple[Verified, str]]:
    """Returns the error of each program of a front, found apart from its fit, by number of operations."""
    found = {}
    for row in front:
        canonical = canonical_graph(row["program"], DOMAIN)
        found[row["operations"]] = (verify(canonical, target), row["program"])
    return found


def at_most(found: dict[int, tuple[Verified, str]], operations: int) -> float:
    """The smallest verified error with at most so many operations."""
    return min((v.error for k, (v, _) in found.items() if k <= operations), default=inf)


def speed(config: Config, graphs: list[Graph], repeats: int = 3) -> dict[str, float]:
    """Returns evaluations a second at stage 0, their mean operations, and the ratio to the arithmetic of the steps.

    The floor is the time of what a Levenberg-Marquardt step cannot do without: values, Jacobian, Gram matrix and its
    solution, for as many steps and starts.
    """
    judge = Judge(options(config))  # type: ignore[arg-type]
    level = judge.options.stages[0]
    judge.warm_up()
    whole, floor, operations = 0.0, 0.0, []
    for graph in graphs:
        formula = read(graph)
        if formula is None or not formula.structure.slots:
            continue
        operations.append(formula.structure.operations)
        code = Code(formula.structure)
        unit = np.eye(code.slots)
        starts = drawn(np.random.default_rng(0), np.array([formula.constants]), level.starts + 1, judge._nodes.x)  # noqa: SLF001
        took, least = [], []
        for _ in range(repeats):
            began = time.perf_counter()
            judge.evaluate(graph, 0, (), range(1))
            took.append(time.perf_counter() - began)
            began = time.perf_counter()
            with np.errstate(all="ignore"):
                for _ in range(level.steps):
                    residuals, jacobian = code.residuals(starts, judge._nodes)  # noqa: SLF001
                    gram = jacobian @ jacobian.swapaxes(1, 2)
                    is_whole = np.isfinite(gram).all((1, 2), keepdims=True)
                    damping = 1.0 + np.trace(gram, axis1=1, axis2=2)[:, None, None]
                    gram = np.where(is_whole, gram + damping * unit, unit)
                    np.linalg.solve(gram, jacobian @ residuals[:, :, None])
            least.append(time.perf_counter() - began)
        whole += min(took)
        floor += min(least)
    return {"rate": len(operations) / whole, "operations": fmean(operations), "ratio": whole / floor}


def float32_errors(programs: dict[str, str], target: Target, chunk: int = 1 << 22) -> tuple[dict[str, float], int]:
    """Returns the largest error in ULP of jitted programs over all normal float32 of the interval, and their number."""
    import jax
    import jax.numpy as jnp

    from primitives.compile import compile_step
    from primitives.layout import Layout

    layout = Layout(((chunk,),))
    graphs = {name: canonical_graph(text, DOMAIN) for name, text in programs.items()}
    jitted = {name: jax.jit(compile_step(graph, DOMAIN.vocabulary, layout)) for name, graph in graphs.items()}
    low = max(np.float32(target.interval.low), np.float32(2.0**-126))  # an open end is as near as float32 comes
    high = np.float32(target.interval.high)
    series = _series(target)
    first, last = (int(v.view(np.int32)) for v in (low, high))
    worst, count = dict.fromkeys(programs, 0.0), 0
    for start in range(first, last + 1, chunk):
        bits = np.minimum(np.arange(start, start + chunk, dtype=np.int64), last).astype(np.int32)
        x = bits.view(np.float32)
        wanted = series(x.astype(np.float64))
        inverse = 1.0 / np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)
        given = jnp.asarray(x)
        for name, run in jitted.items():
            (y,), _ = run({"x": given}, ())
            largest = float((np.abs(np.asarray(y, np.float64) - wanted) * inverse).max())
            worst[name] = max(worst[name], largest) if isfinite(largest) else inf
        count += min(chunk, last + 1 - start)
    return worst, count


def _series(target: Target) -> Any:
    """The target in float64, to about 1e-15: a Chebyshev series through values of mpmath."""
    low, high = target.ends
    nodes = chebyshev(low, high, 40)
    values = np.array([float(target.exact(x)) for x in nodes.tolist()])
    return np.polynomial.Chebyshev.fit(nodes, values, 39, domain=(low, high)).trim(1e-17)


def float32_times(programs: dict[str, Any], size: int = 1 << 16, seconds: float = 2.0) -> dict[str, float]:
    """Returns nanoseconds an entry of jitted functions on one array, the least of repeats, all in one process."""
    import jax
    import jax.numpy as jnp

    x = jnp.asarray(np.random.default_rng(0).random(size, dtype=np.float32) + np.float32(2.0**-24))
    jitted = {name: jax.jit(function) for name, function in programs.items()}
    for function in jitted.values():
        function(x).block_until_ready()
    least = dict.fromkeys(jitted, float("inf"))
    ends = time.perf_counter() + seconds * len(jitted)
    while time.perf_counter() < ends:
        for name, function in jitted.items():  # in turns, so that all see the same machine
            began = time.perf_counter()
            function(x).block_until_ready()
            least[name] = min(least[name], time.perf_counter() - began)
    return {name: 1e9 * took / size for name, took in least.items()}


def main(
    work: Annotated[Path, typer.Argument(help="Folder for the runs.")],
    seeds: Annotated[int, typer.Option(help="Seeds of each search.")] = 3,
    randoms: Annotated[int, typer.Option(help="Seeds that have random search beside them.")] = 3,
    budget: Annotated[str, typer.Option(help="Time of each search.")] = "30m",
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    source: Annotated[str, typer.Option("--config", help="Configuration.")] = "exp2",
    out: Annotated[Path, typer.Option(help="The page.")] = Path("docs/numerics.md"),
    float32: Annotated[bool, typer.Option(help="The regime of float32 too (2^x).")] = True,
) -> None:
    config = load_config(source, [f"budget={budget}"])
    target = target_of(*(config.evaluation.get(key) for key in ("target", "interval", "error")))  # type: ignore[arg-type]
    runs, fronts, beside = [], [], []
    for seed in range(seeds):
        mine = load_config(source, [f"budget={budget}", f"seed={seed}"])
        runs.append(searched(mine, work / f"{source}-{seed}", workers))
        fronts.append(verified(runs[-1]["front"], target))
        if seed < randoms:  # as many evaluations, whatever time they take
            drawn_anew = ["proposer.name=random_program", "proposer.options.fresh=1.0"]
            settings = [f"seed={seed}", "strategy.name=random", f"budget={10**9}", *drawn_anew]
            place, evaluations = work / f"{source}-random-{seed}", runs[-1]["evaluations"]
            beside.append(searched(load_config(source, settings), place, workers, evaluations))
    lines = _page(source, target, runs, fronts, beside, config, budget, workers)
    if float32 and source == "exp2":
        lines += _float32(work, budget, workers, target)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("written:", out, file=sys.stderr)


def _page(
    source: str,
    target: Target,
    runs: list[Row],
    fronts: list[Any],
    beside: list[Row],
    config: Config,
    budget: str,
    workers: int,
) -> list[str]:
    machine = describe()
    randoms = [verified(run["front"], target) for run in beside]
    where = f"max {target.metric} error of {target.name} on {target.interval}, exact arithmetic"
    command = " ".join(["python scripts/numerics.py WORK", *sys.argv[2:]])
    head = (
        f"`{command}` on {datetime.date.today()}, {machine['processor']}: {len(runs)} seeds of "
        f"`pride run {source} --budget {budget} --workers {workers}`, each from nothing but `y = x`."
    )
    metric = (
        f"All figures: {where}, operations on constants alone not counted. Verified apart from the fit: {METHOD}. "
        f"Textbook errors are of best approximations on 400 Chebyshev nodes. *Random* is random search: programs of 1 "
        f"to 20 statements drawn from nothing, their constants fitted alike, until as many are evaluated "
        f"({len(beside)} of the seeds). *Published* are the evolved programs of Real et al. 2023."
    )
    names = ["operations", "textbook", "its form", *(f"seed {i}" for i in range(len(runs))), "random, best seed"]
    names.append("published")
    lines = ["# Numeric functions", "", head, "", metric, "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for operations in range(1, 15):
        form = textbook.best(target, operations)
        published = PUBLISHED.get(operations) if source == "exp2" else None
        lines.append(
            f"| {operations} | {form.error:.2e} | {form.name} | "
            + " | ".join(f"{at_most(front, operations):.2e}" for front in fronts)
            + f" | {min((at_most(front, operations) for front in randoms), default=inf):.2e} | "
            + ("-" if published is None else f"{published:.2e}")
            + " |"
        )
    lines += ["", "## Cost", "", "| search | candidates | evaluations | hurdled | seconds |", "|---|---|---|---|---|"]
    named = {f"seed {seed}": run for seed, run in enumerate(runs)}
    named |= {f"random, seed {seed}": run for seed, run in enumerate(beside)}
    for name, run in named.items():
        lines.append(
            f"| {name} | {run['candidates']:,} | {run['evaluations']:,} | {run['hurdled']:,} | {run['seconds']:,.0f} |"
        )
    graphs = [canonical_graph(text, DOMAIN) for front in fronts for _, text in front.values()]
    rate = speed(config, graphs)
    told = (
        f"Stage 0 fits {rate['rate']:,.0f} programs a second and core, of {rate['operations']:.1f} operations on "
        f"average; its time is {rate['ratio']:.2f} times that of the arithmetic of its least-squares steps (values, "
        f"Jacobian, Gram matrix, solution)."
    )
    lines += ["", told, "", "## Programs", ""]
    counts = sorted({operations for front in fronts for operations in front})
    best = {k: min((f[k] for f in fronts if k in f), key=lambda found: found[0].error) for k in counts}
    for operations, (found, text) in best.items():
        if 0 < operations <= 14:
            lines += [f"{operations} operations: {found}.", "", "```python", text.rstrip(), "```", ""]
    return lines


def _float32(work: Path, budget: str, workers: int, target: Target) -> list[str]:
    """Errors over all float32 and times of the regime of float32."""
    import jax.numpy as jnp

    from primitives.compile import compile_step
    from primitives.layout import Layout

    run = searched(load_config("exp2_float32", [f"budget={budget}"]), work / "exp2_float32-0", workers)
    texts = {f"found, {row['operations']} operations": row["program"] for row in run["front"] if row["operations"] >= 4}
    texts |= {f"minimax polynomial of degree {degree}": _polynomial(target, degree) for degree in range(2, 8)}

    def made(program: str) -> Any:
        step = compile_step(canonical_graph(program, DOMAIN), DOMAIN.vocabulary, Layout(((1 << 16,),)))
        return lambda x: step({"x": x}, ())[0][0]

    times = float32_times({name: made(text) for name, text in texts.items()} | {"jnp.exp2": jnp.exp2})
    worst, count = float32_errors(texts, target)
    told = (
        f"`pride run exp2_float32`, {run['seconds'] / 60:.0f} minutes on {workers} workers, seed 0. Errors in units in "
        f"the last place of the function jitted by JAX, over all {count:,} normal float32 of {target.interval}; "
        f"nanoseconds an entry of 65,536, the least of repeats, all measured in turns in one process."
    )
    lines = ["## In float32", "", told, "", "| function | ULP, all float32 | ns an entry |", "|---|---|---|"]
    lines += [f"| {name} | {worst[name]:.3f} | {times[name]:.3f} |" for name in texts]
    return [*lines, f"| jnp.exp2 | - | {times['jnp.exp2']:.3f} |"]


def _polynomial(target: Target, degree: int) -> str:
    """The minimax polynomial by Horner's rule, fitted like any program and rounded to float32."""
    lines = ["y = x * 0.1", "y = y + 0.2"]
    for _ in range(degree - 1):
        lines += ["y = y * x", "y = y + 0.3"]
    text = "\n".join(["def approximate(x):", *(f"    {line}" for line in lines), "    return y", ""])
    graph = canonical_graph(text, DOMAIN)
    found = Judge(options(load_config("exp2_float32"))).evaluate(graph, 0)  # type: ignore[arg-type]
    if found.program is None:
        raise ValueError(f"a polynomial of degree {degree} must have a fit of {target.name}, got none")
    from primitives.text import render

    return render(found.program, DOMAIN.vocabulary)


if __name__ == "__main__":
    typer.run(main)
