"""A program as a graph of values: what is checked, canonicalized and executed."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from primitives.kinds import SCALAR, Kind, lifts
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
    def size(self) -> int:
        """Number of operations."""
        return len(self.nodes)


def check(program: Program, vocabulary: Vocabulary, max_statements: int = 1_000) -> Graph:
    """Checks a program statically and lowers it, statement by statement, to a graph (dead code included).

    Raises:
        ProgramError: too many statements, an unknown or refused operation, a wrong number or kind of arguments,
            a variable used before it has a value, an output without a value or of too high a kind.
    """
    statements, signature = program.statements, program.signature
    if len(statements) > max_statements:
        raise ProgramError(f"a program may have at most {max_statements} statements, got {len(statements)}; shorten it")
    frame = _frame(signature)
    kinds = [*frame.kinds]
    values: dict[str | float | tuple[str], int] = dict(zip(frame.names, range(len(kinds)), strict=True))

    numbers: list[float] = []
    for number in [arg for _, _, args in statements for arg in args if not isinstance(arg, str)]:
        key = number or (str(number),)  # 0.0 == -0.0 in Python, yet they are two constants
        if key not in values:
            if number - number != 0.0:  # NaN or infinite
                target = next(target for target, _, args in statements if number in args)
                raise ProgramError(f"a constant must be finite, got {number!r} in {target!r}; change it")
            values[key] = len(kinds)
            kinds.append(SCALAR)
            numbers.append(number)

    nodes: list[Node] = []
    known = vocabulary._kinds  # noqa: SLF001  (the dict itself: this is the hot path of breeding)
    for target, op, raw in statements:
        try:
            args = tuple([values[arg or (str(arg),)] for arg in raw])
        except KeyError as missing:
            raise ProgramError(
                f"a variable must have a value before it is used, got {missing.args[0]!r} in `{target} = {op}(...)`; "
                f"assign to it first"
            ) from None
        if op == COPY and len(args) == 1:
            values[target] = args[0]
            continue
        given = tuple([kinds[ref] for ref in args])
        values[target] = len(kinds)
        kinds.append(known.get((op, given)) or _kind_of(op, given, target, vocabulary))
        nodes.append(Node(op, args))

    for name, kind in signature.outputs:
        ref = values.get(name)
        if ref is None:
            raise ProgramError(f"every output must have a value, got none for {name!r}; assign to it before `return`")
        if not lifts(kinds[ref], kind):
            raise ProgramError(f"{name!r} must be {kind} or lower, got {kinds[ref]}; reduce it first")
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


class _Frame(NamedTuple):
    """A signature in the order of a graph: data before state, `names` and `kinds` for both."""

    inputs: tuple[str, ...]
    state: tuple[str, ...]
    outputs: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    output_kinds: tuple[Kind, ...]
    state_kinds: tuple[Kind, ...]


@lru_cache(maxsize=256)
def _frame(signature: Signature) -> _Frame:
    state_names = signature.state
    data = [(name, kind) for name, kind in signature.inputs if name not in state_names]
    held = [(name, kind) for name, kind in signature.inputs if name in state_names]
    outputs = [(name, kind) for name, kind in signature.outputs if name not in state_names]
    return _Frame(
        inputs=tuple(name for name, _ in data),
        state=tuple(name for name, _ in held),
        outputs=tuple(name for name, _ in outputs),
        names=tuple(name for name, _ in (*data, *held)),
        kinds=tuple(kind for _, kind in (*data, *held)),
        output_kinds=tuple(kind for _, kind in outputs),
        state_kinds=tuple(kind for _, kind in held),
    )


def _kind_of(op: str, kinds: tuple[Kind, ...], target: str, vocabulary: Vocabulary) -> Kind:
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
