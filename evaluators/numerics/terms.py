"""Formulas of x with constants, rewritten by identities of the reals that hold whatever the constants are.

`(x + a) + b` has one constant, `a x + b x` is `(a + b) x`, factors and signs move outwards where they meet others. So
programs that differ by their constants, by names, or by such identities have one structure and are fitted once.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from evaluators.numerics.formula import CODES, OPERATIONS, Formula, Node, Structure
from evaluators.numerics.signs import ContradictionError, signs

_COMMUTATIVE = frozenset({"add", "multiply", "fma", "fma_shift"})
_SIGN = {"shift": 1, "flip": -1}
_UNSIGNED = {"flip": "shift", "subtract": "add"}


class Term(NamedTuple):
    """An operation on other terms, by their numbers, with the constants that fill its slots."""

    op: str
    args: tuple[int, ...] = ()
    own: tuple[Any, ...] = ()


X = 0
"""The number of the term x."""


class Terms:
    """Terms that were met, each once: a value that is used twice is one number.

    Args:
        number: makes a number of the arithmetic that constants are in.
    """

    def __init__(self, number: Callable[[float], Any]) -> None:
        self._number = number
        self._terms = [Term("x")]
        self._hashes = [(1, 1)]  # without regard to constants, the first to signs either; the same in every process
        self._numbers: dict[Term, int] = {self._terms[0]: X}
        self._free: frozenset[int] = frozenset()
        self._needed: dict[int, int] = {}  # how many terms need a rewritten one

    def __getitem__(self, number: int) -> Term:
        return self._terms[number]

    def constant(self, value: Any) -> int:
        """Returns the number of a constant."""
        return self._add(Term("constant", (), (value,)))

    def _add(self, term: Term) -> int:
        number = self._numbers.get(term)
        if number is None:
            number = self._numbers[term] = len(self._terms)
            keys = [self._hashes[arg] for arg in term.args]
            if term.op in _COMMUTATIVE:
                keys[:2] = sorted(keys[:2])
            whole = hash((CODES.get(term.op, -1), *[key[1] for key in keys]))  # of integers: not salted
            unsigned = [key[0] for key in keys]
            if term.op == "subtract":
                unsigned.sort()
            self._terms.append(term)
            self._hashes.append((hash((CODES.get(_UNSIGNED.get(term.op, term.op), -1), *unsigned)), whole))
        return number

    def call(self, primitive: str, args: Sequence[int]) -> int:
        """Returns a primitive's call: constants alone are folded, constants beside values fill slots."""
        held = [self[arg].own[0] for arg in args if self[arg].op == "constant"]
        values = tuple([arg for arg in args if self[arg].op != "constant"])
        if not values:
            return self.constant(_folded(primitive, held))
        if not held:
            return self._add(Term(primitive, values))
        constant = [self[arg].op == "constant" for arg in args]
        if primitive == "fma":
            if constant[0] and constant[1]:
                return self._add(Term("shift", values, (held[0] * held[1],)))
            op = "fma_line" if len(held) == 2 else "fma_shift" if constant[2] else "fma_scale"
            return self._add(Term(op, values, tuple(held)))
        (c,) = held
        if primitive == "add":
            return self._add(Term("shift", values, (c,)))
        if primitive == "subtract":
            return self._add(Term("flip", values, (c,)) if constant[0] else Term("shift", values, (-c,)))
        if primitive == "multiply":
            return self._add(Term("scale", values, (c,)))
        return self._add(Term("invert", values, (c,)) if constant[0] else Term("scale", values, (1 / c,)))

    def formula(self, root: int) -> Formula:
        """Numbers the operations of a term by a walk from it."""
        places = {X: 0}
        nodes: list[Node] = []
        constants: list[Any] = []
        stack = [root]
        while stack:
            number = stack[-1]
            op, args, own = self[number]
            if op in _COMMUTATIVE and self._hashes[args[0]] > self._hashes[args[1]]:
                args = (args[1], args[0], *args[2:])
            by_hash = sorted(args, key=self._hashes.__getitem__) if op == "subtract" else args
            missing = [arg for arg in by_hash if arg not in places]
            if number in places or not missing:
                stack.pop()
                if number not in places:
                    nodes.append(Node(op, tuple([places[arg] for arg in args])))
                    constants.extend(own)
                    places[number] = len(nodes)
            else:
                stack.extend(missing[::-1])
        return Formula(Structure(tuple(nodes)), tuple(constants))

    # --- identities ----------------------------------------------------------------------------------------------

    def rewritten(self, root: int) -> int:
        """Returns a term after one pass: one identity for each operation, where one holds, and from x outwards.

        A term is taken apart only where nothing else needs it, or the number of operations would grow.
        """
        users: dict[int, set[int]] = {}
        order = sorted(self._below(root))  # an argument's number is lower than that of what it is an argument of
        for number in order:
            for arg in self[number].args:
                users.setdefault(arg, set()).add(number)
        built = {X: X}
        self._needed = {}
        for number in order:
            op, args, own = self[number]
            if op == "x":
                continue
            renewed = tuple([built[arg] for arg in args])
            self._free = frozenset(built[arg] for arg in args if len(users[arg]) == 1 and built[arg] != X)
            if any(self[arg].op == "constant" for arg in renewed):
                given = [self.constant(own[~i]) if i < 0 else renewed[i] for i in OPERATIONS[op].pattern]
                built[number] = self.call(OPERATIONS[op].primitive, given)
            else:
                term = self._rewrite(op, renewed, own)
                built[number] = self._add(Term(op, renewed, own) if term is None else term)
            new = built[number]
            self._needed[new] = self._needed.get(new, 0) + len(users.get(number, ()))
        return built[root]

    def signed(self, root: int) -> int:
        """Returns a term whose constants have taken the signs of values, so that few are subtracted."""
        order = sorted(self._below(root))
        try:
            negated = signs(order, self.__getitem__, lambda u, v: self._hashes[u] < self._hashes[v])
        except ContradictionError:
            return root
        built = {X: X}
        for number in order[1:]:
            op, args, own = self[number]
            i, first = negated[number], negated[args[0]]
            if op in ("shift", "flip"):
                op = "flip" if i ^ first ^ (op == "flip") else "shift"
                own = (-own[0] if i else own[0],)
            elif op in ("add", "subtract"):
                second = negated[args[1]] ^ (op == "subtract")
                op = "add" if first == second else "subtract"
                args = args if i == first else args[::-1]
            elif own:
                turned = (i if op == "fma_shift" else i ^ first, i)
                own = tuple([-c if minus else c for c, minus in zip(own, turned, strict=False)])
            built[number] = self._add(Term(op, tuple([built[arg] for arg in args]), own))
        return built[root]

    def _below(self, root: int) -> set[int]:
        seen, stack = {root}, [root]
        while stack:
            new = [arg for arg in self[stack.pop()].args if arg not in seen]
            seen.update(new)
            stack.extend(new)
        return seen

    def _rewrite(self, op: str, args: tuple[int, ...], own: tuple[Any, ...]) -> Term | None:
        if op in ("scale", "invert") and own[0] == 0:
            return self._constantly(0.0)
        if op in ("shift", "flip", "scale", "invert"):
            return self._unary(op, args[0], own[0]) if args[0] in self._free else None
        if op in ("add", "subtract"):
            return self._sum(op, *args)
        if op in ("multiply", "divide"):
            if args[0] != args[1]:
                return self._product(op, *args)
            return self._square(args[0]) if op == "multiply" else self._constantly(1.0)
        return None

    def _is(self, number: int, *ops: str) -> bool:
        """Whether a term that may be taken apart is one of these operations."""
        return number in self._free and self[number].op in ops

    def _unary(self, op: str, number: int, c: Any) -> Term | None:
        """An operation with a constant on another operation."""
        within, args, own = self[number]
        if own:
            (a,) = own[:1]
            if (op, within) in _MERGED and not (op == "invert" and a == 0):
                merged, fold = _MERGED[op, within]
                return Term(merged, args, (fold(c, a),))
            if within == "scale" and a != 0:  # the factor comes to the front
                inner = self._add(Term("shift", args, (c / a if op == "shift" else -c / a,)))
                return Term("scale", (inner,), (a if op == "shift" else -a,))
        if op == "flip" and within == "invert":
            return Term("shift", (self._add(Term("invert", args, (-own[0],))),), (c,))
        found = None
        if within == "divide":
            found = self._proper(op, args[0], args[1], c)
        elif within == "multiply" and op in _SIGN:
            found = self._square_completed(args[0], args[1], _SIGN[op], c)
        elif within in ("add", "subtract") and op in _SIGN:
            found = self._lifted(op, within, args, c)
        if found is not None:
            return found
        turned = self._negative(number)
        if turned is None:
            return None
        if op in ("shift", "flip"):
            return Term("flip" if op == "shift" else "shift", (turned,), (c,))
        return Term(op, (turned,), (-c,))

    def _proper(self, op: str, u: int, v: int, c: Any) -> Term | None:
        """An operation with a constant on u / v, where v = u + a or a - u: with 1 + a / v for the quotient."""
        if self[v].op not in ("shift", "flip") or self[v].args != (u,):
            return None
        (a,), one = self[v].own, self._number(1.0)
        whole, part = (one, -a) if self[v].op == "shift" else (-one, a)  # u / v = whole + part / v
        if op == "invert":  # v / u = whole + a / u
            return Term("shift", (self._add(Term("invert", (u,), (c * a,))),), (c * whole,))
        if op == "scale":
            return Term("shift", (self._add(Term("invert", (v,), (c * part,))),), (c * whole,))
        if op == "flip":
            whole, part = -whole, -part
        return Term("shift", (self._add(Term("invert", (v,), (part,))),), (c + whole,))

    def _lifted(self, op: str, within: str, args: tuple[int, ...], c: Any) -> Term | None:
        """C + (u + v), where u or v is w + a: the constant of the whole takes it, even if others need w + a."""
        for place, arg in enumerate(args):
            inner = self[arg]
            if inner.op in ("shift", "flip"):
                minus = (within == "subtract" and place == 1) != (op == "flip")
                other, w = args[1 - place], inner.args[0]
                if inner.op == "shift":
                    bare = Term(within, (w, other) if place == 0 else (other, w))
                elif within == "add":
                    bare = Term("subtract", (other, w))
                elif place == 1:
                    bare = Term("add", (other, w))
                else:
                    continue
                return Term(op, (self._add(bare),), (c - inner.own[0] if minus else c + inner.own[0],))
        return None

    def _square_completed(self, u: int, v: int, sign: int, c: Any) -> Term | None:
        """C + u (u + a) = c - a^2 / 4 + (u + a / 2)^2, and c + u (a - u) likewise, where nothing else needs u + a."""
        if self[u].op in ("shift", "flip") and self[u].args == (v,):
            u, v = v, u
        if self[v].op not in ("shift", "flip") or self[v].args != (u,) or self._needed.get(v) != 1:
            return None
        half = self[v].own[0] / self._number(2.0)
        if self[v].op == "flip":
            half, sign = -half, -sign
        root = self._add(Term("shift", (u,), (half,)))
        square = self._add(Term("multiply", (root, root)))
        return Term("shift" if sign > 0 else "flip", (square,), (c - sign * half * half,))

    def _negative(self, number: int) -> int | None:
        """The negative of a term that has the wrong sign, at no more operations."""
        if number not in self._free:
            return None
        op, args, own = self[number]
        if op == "flip":
            return self._add(Term("shift", args, (-own[0],)))
        if op == "subtract" and self._hashes[args[0]] > self._hashes[args[1]]:
            return self._add(Term("subtract", args[::-1]))
        return None

    def _sum(self, op: str, u: int, v: int) -> Term | None:
        """Constants and factors move outwards, signs into the operation; what is common is taken once."""
        if u == v:
            return Term("scale", (u,), (self._number(2.0),)) if op == "add" else self._constantly(0.0)
        if op == "add" and self._is(v, "shift", "flip") and not self._is(u, "shift", "flip"):
            u, v = v, u
        (a, own_u), (b, own_v) = self[u][1:], self[v][1:]
        if self._is(u, "shift"):
            return Term("shift", (self._add(Term(op, (a[0], v))),), own_u)
        if self._is(u, "flip"):
            if op == "add":
                return Term("shift", (self._add(Term("subtract", (v, a[0]))),), own_u)
            return Term("flip", (self._add(Term("add", (a[0], v))),), own_u)
        if self._is(v, "shift"):
            return Term("shift", (self._add(Term("subtract", (u, b[0]))),), (-own_v[0],))
        if self._is(v, "flip"):
            return Term("shift", (self._add(Term("add", (u, b[0]))),), (-own_v[0],))
        common = self._common(op, u, v)
        if common is not None:
            return common
        if op == "subtract" and self._is(v, "scale", "invert"):  # its constant takes the sign
            return Term("add", (u, self._add(Term(self[v].op, b, (-own_v[0],)))))
        if self._is(u, "scale") and self._is(v, "scale") and own_u[0] != 0:
            inner = self._add(Term("scale", b, (own_v[0] / own_u[0],)))
            return Term("scale", (self._add(Term(op, (a[0], inner))),), own_u)
        turned = self._negative(v)
        if turned is not None:
            return Term("subtract" if op == "add" else "add", (u, turned))
        turned = self._negative(u) if op == "add" else None
        return None if turned is None else Term("subtract", (v, turned))

    def _common(self, op: str, u: int, v: int) -> Term | None:
        """U + c u, u + u w, u w + u z."""
        one = self._number(1.0)
        for product, alone, is_first in ((u, v, True), (v, u, False)):
            args, own = self[product][1:]
            if self._is(product, "scale") and args[0] == alone:
                factor = own[0] + one if op == "add" else own[0] - one if is_first else one - own[0]
                return Term("scale", (alone,), (factor,))
            if self._is(product, "multiply") and alone in args:
                other = args[1] if args[0] == alone else args[0]
                bracket = Term("shift", (other,), (one,))  # u + u w = u (w + 1)
                if op == "subtract":
                    bracket = Term("shift", (other,), (-one,)) if is_first else Term("flip", (other,), (one,))
                return Term("multiply", (alone, self._add(bracket)))
        if self._is(u, "multiply") and self._is(v, "multiply"):
            a, b = self[u].args, self[v].args
            shared = next((w for w in a if w in b), None)
            if shared is not None:
                rest = Term(op, (a[1] if a[0] == shared else a[0], b[1] if b[0] == shared else b[0]))
                return Term("multiply", (shared, self._add(rest)))
        return None

    def _constantly(self, value: float) -> Term:
        return Term("constant", (), (self._number(value),))

    def _square(self, u: int) -> Term | None:
        """(c u) (c u), and the square of what has the wrong sign."""
        if self._is(u, "scale"):
            args, own = self[u][1:]
            return Term("scale", (self._add(Term("multiply", args * 2)),), (own[0] * own[0],))
        turned = self._negative(u)
        return None if turned is None else Term("multiply", (turned, turned))

    def _product(self, op: str, u: int, v: int) -> Term | None:
        """Factors move outwards; two signs cancel."""
        if op == "multiply" and self._is(v, "scale", "invert"):
            u, v = v, u
        (a, own_u), (b, own_v) = self[u][1:], self[v][1:]
        if self._is(u, "scale"):
            return Term("scale", (self._add(Term(op, (a[0], v))),), own_u)
        if op == "divide" and self._is(u, "shift", "flip"):
            same = (
                (v, 1, self._number(0.0))
                if a == (v,)
                else (b[0], _SIGN.get(self[v].op, 0), own_v[0])
                if own_v
                else None
            )
            if same is not None and same[0] == a[0] and same[1]:  # (w + a) / (w + b) = 1 + (a - b) / (w + b)
                sign = self._number(float(_SIGN[self[u].op] * same[1]))
                return Term("shift", (self._add(Term("invert", (v,), (own_u[0] - sign * same[2],))),), (sign,))
        if self._is(u, "invert"):
            if op == "multiply":
                return Term("scale", (self._add(Term("divide", (v, a[0]))),), own_u)
            return Term("invert", (self._add(Term("multiply", (a[0], v))),), own_u)
        if op == "divide" and self._is(v, "scale", "invert") and own_v[0] != 0:
            inner = Term("divide" if self[v].op == "scale" else "multiply", (u, b[0]))
            return Term("scale", (self._add(inner),), (1 / own_v[0],))
        first, second = self._negative(u), self._negative(v)
        return None if first is None or second is None else Term(op, (first, second))


_MERGED: dict[tuple[str, str], tuple[str, Callable[[Any, Any], Any]]] = {
    ("shift", "shift"): ("shift", lambda c, a: a + c),
    ("shift", "flip"): ("flip", lambda c, a: a + c),
    ("flip", "shift"): ("flip", lambda c, a: c - a),
    ("flip", "flip"): ("shift", lambda c, a: c - a),
    ("scale", "scale"): ("scale", lambda c, a: a * c),
    ("scale", "invert"): ("invert", lambda c, a: a * c),
    ("invert", "scale"): ("invert", lambda c, a: c / a),
    ("invert", "invert"): ("scale", lambda c, a: c / a),
}
"""What an operation with constant c is on one with constant a."""


def _folded(primitive: str, held: list[Any]) -> Any:
    """The value of an operation on constants alone."""
    if primitive == "sqrt":
        return abs(held[0]) ** (type(held[0])(1) / 2)
    if primitive == "fma":
        return held[0] * held[1] + held[2]
    a, b = held
    if primitive == "divide":
        return a / b
    return a + b if primitive == "add" else a - b if primitive == "subtract" else a * b
