"""The judge of approximations: fits the constants of a program's structure and measures the largest error."""

import time
from math import log10
from typing import Any

import numpy as np

from archive.evaluation import Evaluation, Status, TaskResult
from evaluators.numerics import textbook
from evaluators.numerics.fit import Code, least_squares, polished
from evaluators.numerics.float32 import UNIT, Sample32, rounded, sample32
from evaluators.numerics.formula import Formula, Structure
from evaluators.numerics.minimax import Fitted, minimax
from evaluators.numerics.options import Options, Stage
from evaluators.numerics.scaling import weights
from evaluators.numerics.structure import FUNCTION, program_of, read
from evaluators.numerics.targets import DIGITS, Exact, sample, target_of
from evaluators.numerics.verify import find_poles
from primitives.draws import generator
from primitives.graph import Graph, check
from primitives.ops import REALS
from primitives.program import Program
from primitives.simplify import canonicalize

MOST = 16
"""Operations up to which baselines are listed."""
LARGEST = 1e3
"""Errors beyond, in units of the target's size where they are absolute, count as no approximation at all."""


class Judge:
    """Fits programs to the target of a configuration.

    Args:
        options: the section `evaluation` of the configuration.
        cache: not used.
    """

    def __init__(self, options: Options, cache: str | None = None) -> None:
        del cache  # baselines take less than a second
        self.options = options
        self.target = target_of(options.target, options.interval, options.error)
        self._nodes: Exact = sample(self.target, options.nodes)
        self._grid: Exact = sample(self.target, options.grid)
        size = float(np.abs(self._grid.f).max()) if self.target.metric == "absolute" else 1.0
        self._largest = LARGEST * max(1.0, size)

    @property
    def _points(self) -> Sample32 | None:
        """Points of the regime of float32."""
        return sample32(self.target, self.options.grid) if self.options.arithmetic == "float32" else None

    def warm_up(self) -> None:
        """Finds the baselines."""
        self.baseline(0)

    def baseline(self, operations: int) -> float:
        """Returns the digits of the strongest textbook form with at most so many operations."""
        error = textbook.best(self.target, operations).error
        # in float32 each form has rounding errors, one ULP at the least
        return -log10(error if self._points is None else error + UNIT)

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns the textbook forms that no other form of as few operations beats, by their names."""
        found = (textbook.best(self.target, operations) for operations in range(1, MOST + 1))
        return {
            form.name: {
                "operations": form.operations,
                f"{self.target.metric} error": form.error,
                "digits": -log10(form.error),
            }
            for form in found
            if form.operations
        }

    def evaluate(
        self, graph: Graph, replicate: int, thresholds: tuple[float, ...] = (), stages: range | None = None
    ) -> Evaluation:
        """Judges a canonical graph."""
        began = time.perf_counter()
        with np.errstate(all="ignore"):
            found = self._evaluate(graph, replicate, thresholds, stages)
        return Evaluation(**found, replicate=replicate, seconds=time.perf_counter() - began)

    def _evaluate(self, graph: Graph, replicate: int, thresholds: tuple[float, ...], stages: range | None) -> dict:
        formula = read(graph)
        if formula is None:
            return {"status": Status.DIVERGED, "score": None, "stage": 0, "message": "it has no value"}
        structure = formula.structure
        code, rng = Code(structure), generator(structure.key, replicate)
        pool = np.array([formula.constants], dtype=np.float64)
        scores: list[float] = []
        status, stage, steps, best = Status.OK, 0, 0, None
        for stage in range(len(self.options.stages)) if stages is None else stages:
            pool, fits, spent = self._fit(structure, code, pool, self.options.stages[stage], rng)
            steps += spent
            if self._points is not None:
                climbs = self.options.stages[stage].minimax
                fits = [rounded(code, fit.high, self._points, climbs) for fit in fits]
            is_last = stage == len(self.options.stages) - 1
            good = (fit for fit in sorted(fits, key=lambda fit: fit.error) if fit.error < self._largest)
            best = next((fit for fit in good if not is_last or self._is_usable(structure, fit)), None)
            if best is None:
                break
            scores.append(self._score(structure, best.error))
            if stage < len(thresholds) and scores[-1] < thresholds[stage]:
                status = Status.HURDLED
                break
        if best is None:
            return {
                "status": Status.DIVERGED,
                "score": None,
                "stage": stage,
                "steps": steps,
                "stage_scores": tuple(scores),
                "message": "no constants were found that give it a value on the whole interval",
            }
        found = {
            "status": status,
            "score": scores[-1],
            "stage": stage,
            "steps": steps,
            "stage_scores": tuple(scores),
            "tasks": {
                self.target.name: TaskResult(scores[-1], best.error, 10.0 ** -self.baseline(structure.operations))
            },
        }
        if status is Status.OK:
            found["descriptors"] = {"decade": log10(best.error) if best.error > 0.0 else -float(DIGITS)}
            found["program"] = _program(structure, best)
        return found

    def _score(self, structure: Structure, error: float) -> float:
        """Digits beyond those of the baseline at as many operations."""
        digits = -log10(error) if error > 0.0 else self.options.digits
        return min(digits, self.options.digits) - self.baseline(structure.operations)

    def _is_usable(self, structure: Structure, fit: Fitted) -> bool:
        """Whether a fit is a program of x that has no pole."""
        if not (np.isfinite(fit.high).all() and np.isfinite(fit.low).all()):
            return False
        graph = canonicalize(check(_program(structure, fit), REALS), REALS, "float64")
        return read(graph) is not None and not find_poles(graph, self.target)[0]

    def _fit(
        self, structure: Structure, code: Code, pool: np.ndarray, level: Stage, rng: np.random.Generator
    ) -> tuple[np.ndarray, list[Fitted], int]:
        """Fits at one level of effort; returns constants that are kept, the fits, and the steps of single starts."""
        if not code.slots:
            return pool, [minimax(structure, code, pool[0], self._grid, 0)], 0
        starts = np.concatenate((pool, drawn(rng, pool, level.starts, self._nodes.x, weights(structure))))
        found, cost = least_squares(code, starts, self._nodes, level.steps)
        order = np.argsort(cost, kind="stable")[: level.kept]
        kept = [found[i] for i in order if np.isfinite(cost[i])]
        kept = [polished(code, one, self._nodes, level.polish) if level.polish else one for one in kept]
        if not kept:
            return pool, [], len(starts) * level.steps
        if level.minimax:
            fits = [minimax(structure, code, one, self._grid, level.minimax) for one in kept]
        else:
            residuals = code.residuals(np.array(kept), self._nodes)[0]
            errors = np.abs(residuals).max(axis=1)
            fits = [Fitted(c, np.zeros(code.slots), float(e)) for c, e in zip(kept, errors, strict=True)]
        return np.array([fit.high for fit in fits]), fits, len(starts) * level.steps


def _program(structure: Structure, fit: Fitted) -> Program:
    """The program with fitted constants, sums of two floats where one is not enough."""
    pairs = tuple(zip(fit.high.tolist(), fit.low.tolist(), strict=True))
    return program_of(Formula(structure, pairs), FUNCTION, exact=lambda pair: pair)


def drawn(
    rng: np.random.Generator, pool: np.ndarray, count: int, x: np.ndarray, powers: np.ndarray | None = None
) -> np.ndarray:
    """Draws starts (count, slots), of four sorts alike.

    Near constants of the pool; the same with some of them negated or drawn afresh, as a child differs from its parent
    in one place; those of f(x / s), s = 2, 3, 1/2, 1/3, for a child that is a power of its parent needs it on a part of
    the interval; and all afresh. A fresh constant is +-10^U(-1, 2), or the negative of a point of the interval: where a
    divisor is x + c its zero may have to lie inside, and no step crosses a node.

    Args:
        rng: the source.
        pool: constants that are known (n, slots).
        count: number of starts.
        x: points of the interval, ascending.
        powers: those of s by which constants change where x becomes x / s (slots,); None takes 0, 1 and 2 at random.
    """
    shape = (count, pool.shape[1])
    known = pool[rng.integers(len(pool), size=count)]
    near = known * (1.0 + rng.normal(size=shape) * 10.0 ** rng.uniform(-2.0, 0.0, size=(count, 1)))
    sizes = 10.0 ** rng.uniform(-1.0, 2.0, size=shape)
    fresh = np.where(rng.random(shape) < 0.5, sizes, -sizes)
    fresh = np.where(rng.random(shape) < 0.25, -rng.uniform(x[0], x[-1], size=shape), fresh)
    turned = np.where(rng.random(shape) < 0.3, -near, near)
    mixed = np.where(rng.random(shape) < 0.3, fresh, turned)
    scales = rng.choice([2.0, 3.0, 0.5, 1.0 / 3.0], size=(count, 1), p=[0.5, 0.2, 0.2, 0.1])
    scaled = known * scales ** (rng.integers(0, 3, size=shape) if powers is None else powers)
    sort = rng.integers(0, 4, size=count)
    return np.stack((near, mixed, scaled, fresh))[sort, np.arange(count)]
