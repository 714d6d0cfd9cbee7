"""Programs: plain, frozen, hashable data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from primitives.kinds import COLUMN, LEAF, LEFT, RIGHT, ROW, SCALAR, TENSOR, Kind

COPY = "copy"
"""The operation of a plain assignment `a = b`: it names a value and computes nothing."""


class ProgramError(ValueError):
    """A program that the language or the check refuses; the text says what must hold, what was got, what to do."""


class Statement(NamedTuple):
    """`target = op(*args)`; an argument is a variable's name or a constant.

    A named tuple and no dataclass: search builds millions of them, and creation and hashing are three times faster.
    """

    target: str
    op: str
    args: tuple[str | float, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Named inputs and outputs with kinds, in the order of the text; a name in both is state."""

    inputs: tuple[tuple[str, Kind], ...]
    outputs: tuple[tuple[str, Kind], ...]

    @property
    def state(self) -> tuple[str, ...]:
        """Names of the state variables in input order."""
        returned = {name for name, _ in self.outputs}
        return tuple(name for name, _ in self.inputs if name in returned)


@dataclass(frozen=True, slots=True)
class Program:
    """A signature and statements: the genotype, dead statements included."""

    signature: Signature
    statements: tuple[Statement, ...]
    name: str = "train"


def constant_of(program: Program, name: str) -> float:
    """Returns the constant that a program assigns to a name, once and for all: `beta = 0.9`.

    Raises:
        ProgramError: it assigns something else to it, several times, or never; or the name is an input.
    """
    found = [statement for statement in program.statements if statement.target == name]
    given = [given for given, _ in program.signature.inputs]
    if name in given or len(found) != 1 or found[0].op != COPY or isinstance(found[0].args[0], str):
        got = "an input" if name in given else "no such line" if len(found) != 1 else f"a call of {found[0].op!r}"
        raise ProgramError(
            f"a hyper-parameter must be a name that exactly one line assigns a constant to, as in `{name} = 0.9`, "
            f"got {got} for {name!r}; write that line, or take the name off the card"
        )
    return float(found[0].args[0])


def with_open(program: Program, names: Sequence[str]) -> Program:
    """Returns a program whose named constants are data inputs instead: what an export leaves to its user.

    Raises:
        ProgramError: as for `constant_of`.
    """
    for name in names:
        constant_of(program, name)
    signature = program.signature
    return Program(
        Signature((*signature.inputs, *((name, SCALAR) for name in names)), signature.outputs),
        tuple(statement for statement in program.statements if statement.target not in names),
        program.name,
    )


@dataclass(frozen=True, slots=True)
class Interface:
    """The signatures that a domain accepts.

    Args:
        function: the function's name in text.
        inputs: data inputs by name; a program may leave out what it does not use.
        outputs: what a program must return first, in this order.
        state: kinds that state variables (zero at the start) may have, the usual one first.
        max_state: most state variables a program may have.
    """

    function: str
    inputs: tuple[tuple[str, Kind], ...]
    outputs: tuple[tuple[str, Kind], ...]
    state: tuple[Kind, ...] = ()
    max_state: int = 0

    def signature(
        self, inputs: Sequence[str], outputs: Sequence[str], kinds: Sequence[tuple[str, Kind]] = ()
    ) -> Signature:
        """Builds the signature of a function `def f(inputs): ... return outputs`.

        Args:
            inputs: names of its parameters.
            outputs: names that it returns.
            kinds: kinds of state variables; what is left out is a TENSOR.

        Raises:
            ProgramError: a name that is neither data nor state, a missing output, too many state variables, state of
                another kind than it may have.
        """
        return _signature(self, tuple(inputs), tuple(outputs), tuple(kinds))


@lru_cache(maxsize=4096)
def _signature(
    interface: Interface, inputs: tuple[str, ...], outputs: tuple[str, ...], kinds: tuple[tuple[str, Kind], ...]
) -> Signature:
    data, required = dict(interface.inputs), [name for name, _ in interface.outputs]
    if list(outputs[: len(required)]) != required:
        raise ProgramError(
            f"`return` must begin with {', '.join(required)}, got {', '.join(outputs) or 'nothing'}; "
            f"assign to {required[0]!r} and return it first"
        )
    for names, what in ((inputs, "parameter"), (outputs, "returned name")):
        for name in names:
            if names.count(name) > 1:
                raise ProgramError(f"each {what} must be named once, got {name!r} twice; remove one")
    state = outputs[len(required) :]
    for name in state:
        if name in data:
            raise ProgramError(f"state must have a name of its own, got the input {name!r} as an output; rename it")
        if name not in inputs:
            raise ProgramError(
                f"what is returned after {required[-1]!r} is state and must be a parameter too, got {name!r}; "
                f"add it to the parameters of {interface.function!r} or do not return it"
            )
    for name in inputs:
        if name not in data and name not in state:
            raise ProgramError(
                f"a parameter must be one of {', '.join(data)} or state that is returned, got {name!r}; "
                f"return it as state or remove it"
            )
    if len(state) > interface.max_state:
        raise ProgramError(
            f"a program may have at most {interface.max_state} state variables, got {len(state)}: {', '.join(state)}; "
            f"remove some"
        )
    known = data | dict.fromkeys(state, TENSOR)
    for name, kind in kinds:
        if name not in state:
            raise ProgramError(f"only state may be given a kind, got `{name}: {kind}`; remove it")
        known[name] = kind
    for name in state:
        if known[name] not in interface.state:
            allowed = ", ".join(kind.name for kind in interface.state)
            raise ProgramError(
                f"state must be one of {allowed}, got {known[name]} for {name!r}; write `{name}: {interface.state[0]}`"
            )
    return Signature(
        tuple((name, known[name]) for name in inputs),
        (*interface.outputs, *((name, known[name]) for name in state)),
    )


OPTIMIZER = Interface(
    function="train",
    inputs=(
        ("w", TENSOR),
        ("g", TENSOR),
        ("lr", SCALAR),
        ("t", SCALAR),
        ("value", SCALAR),
        ("noise", TENSOR),
        ("hessian_diagonal", TENSOR),
    ),
    outputs=(("update", TENSOR),),
    state=(TENSOR, SCALAR, LEAF, ROW, COLUMN, LEFT, RIGHT),
    max_state=8,
)
"""Update rules: parameters `w`, gradient `g`, learning rate `lr`, step `t` from 1; the loop does `w = w - update`.

What not every training loop has: `value`, the loss that `g` is the gradient of; `noise`, fresh standard normal numbers;
`hessian_diagonal`, an estimate of the diagonal of the loss's Hessian.
"""


def key_of(text: bytes) -> int:
    """Returns a signed 64-bit key of `text`, the same in every process (a million collide with p < 1e-7)."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little", signed=True)
