"""Value numbering: variables that provably hold the same value get the same number.

Only identities that hold for every IEEE number, NaN, infinity and -0 included, are applied.

References: Cocke and Schwartz 1970, Programming Languages and their Compilers.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from primitives.graph import Frame, kind_of
from primitives.kinds import SCALAR, Kind
from primitives.primitive import Vocabulary
from primitives.program import COPY, ProgramError, Statement, key_of

_IGNORES_SIGN = frozenset({"abs", "square", "sqrt", "log", "log2", "log10", "norm", "global_norm"})
"""Operations that take the absolute value of their argument first, or square it."""
_NON_NEGATIVE = frozenset({"abs", "square", "sqrt", "norm", "global_norm"})
"""Operations whose output never has its sign bit set (but for NaN)."""
_REWRITTEN = _IGNORES_SIGN | {"negative", "sign", "add", "subtract", "multiply"}
"""Operations that an identity begins with."""


@lru_cache(maxsize=4096)
def stable_hash(name: str) -> int:
    """Returns a hash of a name that is the same in every process (Python's own is salted)."""
    return key_of(name.encode())


def round_constant(constant: float, dtype: str) -> float:
    """Returns a constant at the precision of `dtype`.

    Raises:
        ProgramError: it is not finite there.
    """
    if dtype == "float64":
        return float(constant)
    limit, kind_of_number = _precision(dtype)
    if abs(constant) > limit:
        raise ProgramError(f"a constant must be finite in {dtype}, got {constant!r}; keep it within +-{limit:.3g}")
    return float(kind_of_number(constant))


@lru_cache(maxsize=16)
def _precision(dtype: str) -> tuple[float, type[np.generic]]:
    return float(np.finfo(dtype).max), np.dtype(dtype).type


class Numbering(dict[str | float, int]):
    """The number of the value that each name holds after some statements; a constant that is asked for gets one.

    `values[n]` is ("input", name), ("state", color), ("constant", its text) or (operation, argument numbers);
    `hashes[n]` orders values without regard to names, `kinds[n]` is the kind. `held[i]` is the number of the value that
    state variable i holds before the first statement.

    Args:
        frame: the names that have a value before the first statement.
        colors: for each state variable the color of those that hold the same value; None where it is 0 for ever.
        statements: statements that were checked, in order.
        vocabulary: their primitives.
        dtype: what constants are rounded to.

    Raises:
        ProgramError: a constant is not finite in `dtype`.
    """

    __slots__ = ("_dtype", "_numbers", "_primitives", "hashes", "held", "kinds", "values")

    def __init__(
        self,
        frame: Frame,
        colors: Sequence[int | None],
        statements: Sequence[Statement],
        vocabulary: Vocabulary,
        dtype: str,
    ) -> None:
        self.values: list[tuple] = []
        self.hashes: list[int] = []
        self.kinds: list[Kind] = []
        self._numbers: dict[tuple, int] = {}
        self._dtype = dtype
        self._primitives = vocabulary._by_name  # noqa: SLF001  (the dict itself: this is the hot path of breeding)
        for name, kind in zip(frame.inputs, frame.kinds, strict=False):
            self[name] = self._add(("input", name), stable_hash(name), kind)
        for name, color, kind in zip(frame.state, colors, frame.state_kinds, strict=True):
            self[name] = self._constant(0.0) if color is None else self._add(("state", color), color, kind)
        self.held = [self[name] for name in frame.state]
        known = vocabulary._kinds  # noqa: SLF001
        number_of, kind_of_number, operation = self.__getitem__, self.kinds.__getitem__, self._operation
        for target, op, args in statements:
            numbers = tuple(map(number_of, args))
            if op == COPY and len(numbers) == 1:
                self[target] = numbers[0]
            else:
                kinds = tuple(map(kind_of_number, numbers))
                self[target] = operation(op, numbers, known.get((op, kinds)) or kind_of(op, kinds, target, vocabulary))

    def __missing__(self, arg: str | float) -> int:
        if isinstance(arg, str):
            raise KeyError(arg)
        return self._constant(round_constant(arg, self._dtype))  # never stored: 0.0 == -0.0 in Python

    def _add(self, value: tuple, key: int, kind: Kind) -> int:
        numbers = self._numbers
        number = numbers.get(value)
        if number is None:
            number = numbers[value] = len(numbers)
            self.values.append(value)
            self.hashes.append(key)
            self.kinds.append(kind)
        return number

    def _constant(self, constant: float) -> int:
        # The text tells 0.0 from -0.0, which compare equal, and -1.0 from -2.0, which Python hashes alike.
        text = repr(constant)
        return self._add(("constant", text), stable_hash(text), SCALAR)

    def _operation(self, op: str, args: tuple[int, ...], kind: Kind) -> int:
        if op in _REWRITTEN:
            found = self._rewrite(op, args, kind)
            if isinstance(found, int):
                return found
            op, args = found
        keys = tuple(map(self.hashes.__getitem__, args))
        if len(args) == 2 and keys[0] > keys[1] and self._primitives[op].commutative:
            args, keys = args[::-1], keys[::-1]
        return self._add((op, args), hash((stable_hash(op), *keys)), kind)

    def _rewrite(self, op: str, args: tuple[int, ...], kind: Kind) -> int | tuple[str, tuple[int, ...]]:
        """Applies the identities, each exact for every IEEE number; returns the value's number or another operation."""
        values, primitives = self.values, self._primitives
        if len(args) == 1:
            outer, inner = values[args[0]]
            if op in _IGNORES_SIGN and outer in ("negative", "abs"):
                return self._operation(op, inner, kind)
            if op in _IGNORES_SIGN and outer == "constant" and inner[0] == "-":
                return self._operation(op, (self._constant(-float(inner)),), kind)
            if op == "abs" and outer in _NON_NEGATIVE:
                return args[0]
            if op == "negative" and outer == "constant":
                return self._constant(-float(inner))
            if op == "negative" and outer == "negative":
                return inner[0]
            if op == "sign" and outer == "sign":
                return args[0]
        elif len(args) == 2:
            a, b = args
            (left, in_left), (right, in_right) = values[a], values[b]
            if op == "subtract" and "add" in primitives:
                if right == "constant":
                    return self._operation("add", (a, self._constant(-float(in_right))), kind)
                if right == "negative":
                    return self._operation("add", (a, in_right[0]), kind)
            elif op == "add" and "subtract" in primitives:
                if left == right == "negative" and self.hashes[a] > self.hashes[b]:
                    a, b, in_left, in_right = b, a, in_right, in_left
                if right == "negative":
                    return "subtract", (a, in_right[0])
                if left == "negative":
                    return "subtract", (b, in_left[0])
            elif op == "multiply":
                if a == b and "square" in primitives:
                    return self._operation("square", (a,), kind)
                if values[b] == _ONE:
                    return a
                if values[a] == _ONE:
                    return b
        return op, args


_ONE = ("constant", "1.0")
