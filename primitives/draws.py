"""Random draws: numbers in blocks, and the statements, variables and constants that mutation puts into programs."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import count
from math import inf
from typing import Any, TypeVar

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from primitives.kinds import SCALAR, Kind, lifts
from primitives.primitive import Primitive, Vocabulary
from primitives.program import COPY, Program, Statement

T = TypeVar("T")

FREE_CONSTANT = 0.25
"""Share of constants among the arguments of an inserted statement where any kind may stand."""
FIXED_CONSTANT = 0.75
"""The same where a kind is declared: a decay rate is more often a constant than `lr`, the only SCALAR at hand."""
LEAST_GAP = 2.0**-53
"""Smallest distance of a decay rate from 1 (one step of float64), so that it stays below 1."""


def generator(*numbers: int) -> np.random.Generator:
    """Returns a source of random numbers that depends on `numbers` alone, independent of that of any other numbers.

    Its PCG64 starts from BLAKE2b(numbers). `numpy.random.default_rng(numbers)` does as much in three times the time,
    which is that of a tenth of a candidate.
    """
    # any ISeedSequence will do, which NumPy's stubs do not know
    return np.random.Generator(np.random.PCG64(_Digest(tuple(map(int, numbers)))))  # pyright: ignore[reportArgumentType]


class _Digest(ISeedSequence):
    """What a bit generator starts from: the digest of some numbers."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self._text = repr(numbers).encode()

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        """Returns `n_words` words of `dtype`; PCG64 wants four of 64 bits, and a digest has up to eight."""
        word = np.dtype(dtype)
        digest = blake2b(self._text, digest_size=n_words * word.itemsize).digest()
        return np.frombuffer(digest, word.newbyteorder("<")).astype(word)


class Draws:
    """Random numbers from a Generator in blocks: one call of a Generator costs 1 to 3 us, one number here 0.1 us.

    The numbers depend on nothing but the state of the Generator; sequences are chosen from by index, so nothing
    depends on the order of a set or on the platform.

    Args:
        rng: the source; how far it advances is not specified, so it should serve one child (or one chain) only.
    """

    __slots__ = ("_normals", "_rng", "_uniforms")

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._uniforms: list[float] = []
        self._normals: list[float] = []

    def uniform(self) -> float:
        """Returns a number from [0, 1)."""
        if not self._uniforms:
            self._uniforms = self._rng.random(32).tolist()
        return self._uniforms.pop()

    def below(self, n: int) -> int:
        """Returns an integer from 0 to n - 1, n >= 1."""
        return int(self.uniform() * n)

    def choice(self, items: Sequence[T]) -> T:
        """Returns one of `items` (at least one)."""
        return items[int(self.uniform() * len(items))]

    def normal(self) -> float:
        """Returns a number from N(0, 1)."""
        if not self._normals:
            self._normals = self._rng.standard_normal(4).tolist()
        return self._normals.pop()


def draw_statement(
    program: Program, place: int, target: str, vocabulary: Vocabulary, draws: Draws, reads: str | None
) -> Statement | None:
    """Draws `target = primitive(arguments)` for the gap before `place`; `reads` is made an argument where it fits."""
    primitive = _executable(vocabulary, draws)
    if primitive is None:
        return None
    scope = variables(program, place)
    wrapped = -1
    if reads is not None and reads in scope:
        free = [slot for slot, wanted in enumerate(primitive.inputs) if wanted is None]
        wrapped = draws.choice(free) if free else -1
    args: list[str | float] = []
    for slot, wanted in enumerate(primitive.inputs):
        if slot == wrapped and reads is not None:
            args.append(reads)
            continue
        constants = wanted is None or lifts(SCALAR, wanted)
        arg: str | float | None = None
        if not constants or draws.uniform() >= (FREE_CONSTANT if wanted is None else FIXED_CONSTANT):
            arg = draw_variable(program, place, scope, wanted, vocabulary, draws)
        if arg is None:
            if not constants:
                return None
            arg = draw_constant(program, draws)
        args.append(arg)
    return Statement(target, primitive.name, tuple(args))


def variables(program: Program, place: int) -> list[str]:
    """Variables in scope at `place`, each once, in order of appearance."""
    found = dict.fromkeys([name for name, _ in program.signature.inputs])
    for statement in program.statements[:place]:
        found[statement.target] = None
    return list(found)


def new_name(program: Program) -> str:
    """The first of v1, v2 ... that the program does not use."""
    used = variables(program, len(program.statements))
    return next(name for name in (f"v{k}" for k in count(1)) if name not in used)


def _executable(vocabulary: Vocabulary, draws: Draws) -> Primitive | None:
    """Draws a primitive of those that mutation draws; None where (almost) all are others."""
    primitives = vocabulary.drawn
    for _ in range(100):
        primitive = draws.choice(primitives)
        if primitive.executable:
            return primitive
    return None


def draw_variable(
    program: Program, place: int, scope: list[str], wanted: Kind | None, vocabulary: Vocabulary, draws: Draws
) -> str | None:
    """Draws a variable of `scope` that lifts to `wanted` at `place`; None where there is none."""
    if wanted is not None and scope:
        kinds = _kinds(program, place, vocabulary)
        scope = [name for name in scope if name in kinds and lifts(kinds[name], wanted)]
    return draws.choice(scope) if scope else None


def _kinds(program: Program, place: int, vocabulary: Vocabulary) -> dict[str, Kind]:
    """Kinds of the variables in scope at `place`; what has no kind (its arguments do not fit) is left out."""
    kinds = dict(program.signature.inputs)
    for target, op, args in program.statements[:place]:
        got = tuple([kinds.get(arg) if isinstance(arg, str) else SCALAR for arg in args])
        kind = None
        if None not in got:
            kind = got[0] if op == COPY else vocabulary[op].output_kind(got)  # pyright: ignore[reportArgumentType]
        if kind is None:
            kinds.pop(target, None)
        else:
            kinds[target] = kind
    return kinds


def draw_constant(program: Program, draws: Draws) -> float:
    """A fresh constant from N(0, 1), or in half of the draws one that the program has."""
    if draws.uniform() < 0.5:
        held = [arg for statement in program.statements for arg in statement.args if not isinstance(arg, str)]
        if held:
            return draws.choice(held)
    return draws.normal()


def rescale(value: float, draws: Draws) -> float | None:
    """Scales a constant, or its distance from 1; None where the result would not be finite or would be 0."""
    factor = 2.0 ** draws.normal()
    if 0.5 < value < 1.0 and draws.uniform() < 0.5:
        return 1.0 - max((1.0 - value) * factor, LEAST_GAP)
    scaled = value * factor
    return scaled if 0.0 < abs(scaled) < inf else None
