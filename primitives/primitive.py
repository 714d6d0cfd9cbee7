"""A primitive: one operation of the language, all of it in one record."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from primitives.kinds import LEFT, RIGHT, SCALAR, Kind, join, lifts


class Scope(Enum):
    """What one call of a primitive's function sees of its arguments."""

    ELEMENT = "element"
    """Entries, one by one: any shape."""
    LEAF = "leaf"
    """One parameter tensor at a time, in its own shape (a LEAF or SCALAR argument arrives as a 0-d array)."""
    MODEL = "model"
    """All entries of the model as one flat vector (a LEAF argument: one entry a tensor; a SCALAR: 0-d)."""


@dataclass(frozen=True, slots=True)
class Primitive:
    """One operation.

    Kinds: an argument declared None is free; all free arguments lift to their join. An argument declared with a
    kind must lift to that kind and arrives as it. The output is the join of the free arguments, or `output`
    where that is lower (`norm` of a TENSOR is a LEAF, `norm` of a SCALAR stays a SCALAR). Where kinds hang together
    (`matmul`), `overloads` declares them instead: the first that the arguments lift to.

    Args:
        name: the name in program text.
        fn: `fn(xp, *args)`, with `xp` either `numpy` or `jax.numpy` (and `torch`, where `python` is empty); pure, and
            total: what has no value gives NaN.
        inputs: for each argument None (free) or the kind it must have.
        output: the highest kind the output can have; None means the join of the free arguments.
        scope: what one call sees.
        overloads: kinds of the arguments and of the output, one pair for each way to call it.
        python: source template, with `{0}`, `{1}` ... for the arguments and `{xp}` for the array module; empty where
            exports contain the source of `fn`.
        infix: the operator that stands for it in program text, if any.
        aliases: other spellings accepted in program text.
        cost: relative cost of one execution (1 = an addition).
        commutative: whether the first two arguments may be exchanged without changing a bit.
        executable: False for a name that is known and always refused.
        drawn: whether mutation draws it; what is not is for programs that people write.
        axes: whether it sees the axes of a tensor and not only its entries.
        matrices: whether it is for matrices: of tensors that are none it gives zeros, or (LEFT, RIGHT) nothing.
        torch: the same as `python` for PyTorch, where it differs.
        unguarded: index of an argument, and the source template where that argument is known not to be negative.
        latex: template of the formula, in the notation of `primitives.emit.formula`; empty means `name(x, y)`.
        latex_bare: the same where the argument of `unguarded` is known not to be negative, if that is another formula.
        doc: one line, the mathematics.
        source: where the operation is taken from.
    """

    name: str
    fn: Callable[..., Any]
    inputs: tuple[Kind | None, ...]
    doc: str
    python: str
    output: Kind | None = None
    scope: Scope = Scope.ELEMENT
    overloads: tuple[tuple[tuple[Kind, ...], Kind], ...] = ()
    infix: str | None = None
    aliases: tuple[str, ...] = ()
    cost: float = 1.0
    commutative: bool = False
    executable: bool = True
    drawn: bool = True
    axes: bool = False
    matrices: bool = False
    torch: str | None = None
    unguarded: tuple[int, str] | None = None
    latex: str = ""
    latex_bare: str | None = None
    source: str = "Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, appendix"

    @property
    def arity(self) -> int:
        """Number of arguments."""
        return len(self.inputs)

    def output_kind(self, kinds: tuple[Kind, ...]) -> Kind | None:
        """Returns the kind of the output for arguments of `kinds`, or None where they do not fit."""
        if self.overloads:
            fitting = self._overload(kinds)
            return fitting[1] if fitting else None
        free: list[Kind] = []
        for wanted, got in zip(self.inputs, kinds, strict=True):
            if wanted is None:
                free.append(got)
            elif not lifts(got, wanted):
                return None
        meet = join(free)
        if meet is None:
            return None if free else (self.output or _lowest(self.inputs))
        if self.output is None:
            return meet
        return meet if lifts(meet, self.output) else self.output

    def arriving(self, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        """Returns the kinds as which arguments of `kinds` that fit arrive."""
        fitting = self._overload(kinds)
        if fitting is not None:
            return fitting[0]
        meet = join(kind for kind, wanted in zip(kinds, self.inputs, strict=True) if wanted is None)
        return tuple([wanted or meet or kind for kind, wanted in zip(kinds, self.inputs, strict=True)])

    def _overload(self, kinds: tuple[Kind, ...]) -> tuple[tuple[Kind, ...], Kind] | None:
        return next((one for one in self.overloads if all(map(fits, kinds, one[0]))), None)

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds that it declares."""
        declared = [*self.inputs, self.output, *(kind for given, gives in self.overloads for kind in (*given, gives))]
        return frozenset(kind for kind in declared if kind is not None)


def fits(kind: Kind, wanted: Kind) -> bool:
    """Returns whether an argument of a kind can be given where an overload wants another."""
    # a number is no square matrix: which size would it have?
    return kind is wanted or (wanted not in (LEFT, RIGHT) and lifts(kind, wanted))


def _lowest(inputs: tuple[Kind | None, ...]) -> Kind:
    return inputs[0] if inputs and inputs[0] is not None else SCALAR


@dataclass(frozen=True)
class Vocabulary(Mapping[str, Primitive]):
    """An immutable set of primitives, looked up by name or alias; iterates over names in the given order."""

    primitives: tuple[Primitive, ...]
    drawn: tuple[Primitive, ...] = field(init=False, repr=False, compare=False)
    _by_name: dict[str, Primitive] = field(init=False, repr=False, compare=False)
    _kinds: dict[tuple[str, tuple[Kind, ...]], Kind] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        by_name: dict[str, Primitive] = {}
        for primitive in self.primitives:
            for name in (primitive.name, *primitive.aliases):
                if name in by_name:
                    raise ValueError(f"names of primitives must be unique, got {name!r} twice; rename one of them")
                by_name[name] = primitive
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "drawn", tuple(primitive for primitive in self.primitives if primitive.drawn))

    def __repr__(self) -> str:
        return f"Vocabulary({', '.join(self)})"

    def __getitem__(self, name: str) -> Primitive:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return (primitive.name for primitive in self.primitives)

    def __len__(self) -> int:
        return len(self.primitives)

    def __hash__(self) -> int:
        return hash(self.primitives)

    def output_kind(self, name: str, kinds: tuple[Kind, ...]) -> Kind | None:
        """Returns what `Primitive.output_kind` gives, remembered where a program may call it: breeding asks often."""
        key = (name, kinds)
        kind = self._kinds.get(key)
        if kind is None:
            primitive = self._by_name[name]
            kind = primitive.output_kind(kinds)
            if kind is not None and primitive.executable:
                self._kinds[key] = kind
        return kind

    def spellings(self) -> tuple[str, ...]:
        """Returns every accepted name, aliases included."""
        return tuple(self._by_name)

    def drawing(self, names: Iterable[str]) -> "Vocabulary":
        """Returns the same vocabulary of which mutation draws the given names only.

        Raises:
            ValueError: a name is not in this vocabulary.
        """
        wanted = {self._known(name).name for name in names}
        return Vocabulary(tuple(replace(one, drawn=one.name in wanted) for one in self.primitives))

    def _known(self, name: str) -> Primitive:
        if name not in self._by_name:
            raise ValueError(f"a vocabulary holds known primitives, got {name!r}; one of {', '.join(self)}")
        return self._by_name[name]

    def restricted(self, names: Iterable[str]) -> "Vocabulary":
        """Returns the vocabulary of the given names only.

        Raises:
            ValueError: a name is not in this vocabulary.
        """
        return Vocabulary(tuple([self._known(name) for name in names]))
