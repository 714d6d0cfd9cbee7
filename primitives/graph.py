"""A program as a graph of values: what is checked, canonicalized and executed."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from primitives.kinds import SCALAR, SMALL, Kind, lifts
from primitives.primitive import Vocabulary
from primitives.program import COPY, Program, ProgramError, Signature


class Node(NamedTuple):
    """One operation on values; arguments are references into the graph."""

    op: str
    args: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """Values in order of computation.

    A reference is an index into `[*inputs, *state, *constants, *nodes]`; a node refers only to what stands before it.

    Args:
        inputs: names of the data inputs.
        state: names of the state variables.
        constants: values of the constants (SCALAR).
        nodes: operations in order of execution.
        outputs: references of the outputs that are no state.
        next_state: references of the values that state takes at the next step, in the order of `state`.
        kinds: kind of every reference.
        output_kinds: declared kinds of `outputs`; a lower kind is lifted.
        state_kinds: declared kinds of `state`; a lower kind is lifted.
    """

    inputs: tuple[str, ...]
    state: tuple[str, ...]
    constants: tuple[float, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    next_state: tuple[int, ...]
    kinds: tuple[Kind, ...]
    output_kinds: tuple[Kind, ...]
    state_kinds: tuple[Kind, ...]

    @property
    def first_node(self) -> int:
        """Reference of the first node."""
        return len(self.inputs) + len(self.state) + len(self.constants)

    @property
    def state_buffers(self) -> int:
        """Number of state variables that are no few numbers: as large as the parameters, or as their square sides."""
        return sum(kind not in SMALL for kind in self.state_kinds)

    @property
    def size(self) -> int:
        """Number of operations."""
        return len(self.nodes)


def check(program: Program, vocabulary: Vocabulary, max_statements: int = 1_000) -> Graph:
    """Checks a program statically and lowers it, statement by statement, to a graph (dead code included).

    Raises:
        ProgramError: the static check refuses the program.
    """
    check_kinds(program, vocabulary, max_statements)
    statements = program.statements
    frame = frame_of(program.signature)
    kinds = [*frame.kinds]
    values: dict[str | float | tuple[str], int] = dict(
        zip((*frame.inputs, *frame.state), range(len(kinds)), strict=True)
    )
    numbers: list[float] = []
    for number in [arg for _, _, args in statements for arg in args if not isinstance(arg, str)]:
        key = number or (str(number),)  # 0.0 == -0.0 in Python, yet they are two constants
        if key not in values:
            values[key] = len(kinds)
            kinds.append(SCALAR)
            numbers.append(number)

    nodes: list[Node] = []
    for target, op, raw in statements:
        args = tuple([values[arg or (str(arg),)] for arg in raw])
        if op == COPY and len(args) == 1:
            values[target] = args[0]
            continue
        values[target] = len(kinds)
        kinds.append(kind_of(op, tuple([kinds[ref] for ref in args]), target, vocabulary))
        nodes.append(Node(op, args))
    return Graph(
        inputs=frame.inputs,
        state=frame.state,
        constants=tuple(numbers),
        nodes=tuple(nodes),
        outputs=tuple([values[name] for name in frame.outputs]),
        next_state=tuple([values[name] for name in frame.state]),
        kinds=tuple(kinds),
        output_kinds=frame.output_kinds,
        state_kinds=frame.state_kinds,
    )


def check_kinds(program: Program, vocabulary: Vocabulary, max_statements: int = 1_000) -> None:
    """Checks a program statically and builds nothing: breeding refuses, or knows already, most of what it checks.

    Raises:
        ProgramError: too many statements, an unknown or refused operation, a wrong number or kind of arguments,
            a variable used before it has a value, an output without a value or of too high a kind.
    """
    statements, signature = program.statements, program.signature
    if len(statements) > max_statements:
        raise ProgramError(f"a program may have at most {max_statements} statements, got {len(statements)}; shorten it")
    kinds = Kinds(signature.inputs)
    kind_of_arg, known = kinds.__getitem__, vocabulary._kinds  # noqa: SLF001  (the hot path of breeding: the dict itself)
    for target, op, args in statements:
        try:
            given = tuple(map(kind_of_arg, args))
        except KeyError as missing:
            raise ProgramError(_no_value(missing.args[0], target, op)) from None
        if op == COPY and len(given) == 1:
            kinds[target] = given[0]
        else:
            kinds[target] = known.get((op, given)) or kind_of(op, given, target, vocabulary)
    for name, kind in signature.outputs:
        got = kinds.get(name)
        if got is None:
            raise ProgramError(f"every output must have a value, got none for {name!r}; assign to it before `return`")
        if got is not kind and not lifts(got, kind):
            raise ProgramError(f"{name!r} must be {kind} or lower, got {got}; reduce it first")


class Kinds(dict[str | float, Kind]):
    """Kinds of the variables that have a value; a finite number is a SCALAR."""

    def __missing__(self, arg: str | float) -> Kind:
        if isinstance(arg, str) or arg - arg != 0.0:  # NaN or infinite
            raise KeyError(arg)
        return SCALAR


def _no_value(arg: str | float, target: str, op: str) -> str:
    if isinstance(arg, str):
        return (
            f"a variable must have a value before it is used, got {arg!r} in `{target} = {op}(...)`; assign to it first"
        )
    return f"a constant must be finite, got {arg!r} in {target!r}; change it"


class Frame(NamedTuple):
    """What surrounds the statements, in the order of a graph: data before state.

    Args:
        inputs: names of the data inputs.
        state: names of the state variables.
        kinds: kinds of both.
        outputs: names of the outputs that are no state.
        next_state: for each state variable the name of what it takes at the next step: its own, in a program.
        output_kinds: declared kinds of `outputs`.
        state_kinds: declared kinds of `state`.
    """

    inputs: tuple[str, ...]
    state: tuple[str, ...]
    kinds: tuple[Kind, ...]
    outputs: tuple[str | float, ...]
    next_state: tuple[str | float, ...]
    output_kinds: tuple[Kind, ...]
    state_kinds: tuple[Kind, ...]


@lru_cache(maxsize=256)
def frame_of(signature: Signature) -> Frame:
    """Returns the frame of a program's statements."""
    state = signature.state
    data = [(name, kind) for name, kind in signature.inputs if name not in state]
    held = [(name, kind) for name, kind in signature.inputs if name in state]
    outputs = [(name, kind) for name, kind in signature.outputs if name not in state]
    return Frame(
        inputs=tuple(name for name, _ in data),
        state=state,
        kinds=tuple(kind for _, kind in (*data, *held)),
        outputs=tuple(name for name, _ in outputs),
        next_state=state,
        output_kinds=tuple(kind for _, kind in outputs),
        state_kinds=tuple(kind for _, kind in held),
    )


def kind_of(op: str, kinds: tuple[Kind, ...], target: str, vocabulary: Vocabulary) -> Kind:
    """Returns the kind of a call's output.

    Raises:
        ProgramError: the call does not fit; the message names its `target`.
    """
    primitive = vocabulary._by_name.get(op)  # noqa: SLF001  (the dict itself: this is the hot path of breeding)
    if primitive is None:
        raise ProgramError(f"an operation must be in the vocabulary, got {op!r} in {target!r}; see `pride primitives`")
    if not primitive.executable:
        raise ProgramError(f"{op!r} is known by name and never executes: {primitive.doc}; remove it from {target!r}")
    if len(kinds) != len(primitive.inputs):
        raise ProgramError(f"{op!r} takes {primitive.arity} arguments, got {len(kinds)} in {target!r}; mend the call")
    kind = vocabulary.output_kind(op, kinds)
    if kind is None:
        wanted = ", ".join("any" if k is None else k.name for k in primitive.inputs)
        raise ProgramError(
            f"{op!r} takes kinds ({wanted}), got ({', '.join(k.name for k in kinds)}) in {target!r}; "
            f"reduce or exchange the argument"
        )
    return kind
