"""A program as a graph of values: what is checked, canonicalized and executed."""

from dataclasses import dataclass
from typing import NamedTuple

from primitives.kinds import SCALAR, Kind, lifts
from primitives.primitive import Vocabulary
from primitives.program import COPY, Program, ProgramError


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
    if len(program.statements) > max_statements:
        raise ProgramError(
            f"a program may have at most {max_statements} statements, got {len(program.statements)}; shorten it"
        )
    signature = program.signature
    state_names = signature.state
    data = [(name, kind) for name, kind in signature.inputs if name not in state_names]
    held = [(name, kind) for name, kind in signature.inputs if name in state_names]
    values: dict[str, int] = {name: ref for ref, (name, _) in enumerate((*data, *held))}
    kinds: list[Kind] = [kind for _, kind in (*data, *held)]

    constants: dict[float | str, int] = {}
    numbers: list[float] = []
    first_constant = len(kinds)
    for statement in program.statements:
        for arg in statement.args:
            if not isinstance(arg, str):
                key = _constant_key(arg)
                if key not in constants:
                    if arg - arg != 0.0:  # NaN or infinite
                        raise ProgramError(f"a constant must be finite, got {arg!r} in {statement.target!r}; change it")
                    constants[key] = first_constant + len(numbers)
                    numbers.append(arg)
    kinds.extend([SCALAR] * len(numbers))

    nodes: list[Node] = []
    for statement in program.statements:
        target, op, raw = statement
        args: list[int] = []
        for arg in raw:
            if isinstance(arg, str):
                ref = values.get(arg)
                if ref is None:
                    raise ProgramError(
                        f"a variable must have a value before it is used, got {arg!r} in `{target} = {op}(...)`; "
                        f"assign to it first"
                    )
            else:
                ref = constants[_constant_key(arg)]
            args.append(ref)
        if op == COPY and len(args) == 1:
            values[target] = args[0]
            continue
        values[target] = len(kinds)
        kinds.append(_kind_of(op, tuple([kinds[a] for a in args]), target, vocabulary))
        nodes.append(Node(op, tuple(args)))

    outputs, next_state = [], []
    for name, kind in signature.outputs:
        if name not in values:
            raise ProgramError(f"every output must have a value, got none for {name!r}; assign to it before `return`")
        if not lifts(kinds[values[name]], kind):
            raise ProgramError(f"{name!r} must be {kind} or lower, got {kinds[values[name]]}; reduce it first")
        if name not in state_names:
            outputs.append(values[name])
    next_state = [values[name] for name, _ in held]
    return Graph(
        inputs=tuple(name for name, _ in data),
        state=tuple(name for name, _ in held),
        constants=tuple(numbers),
        nodes=tuple(nodes),
        outputs=tuple(outputs),
        next_state=tuple(next_state),
        kinds=tuple(kinds),
        output_kinds=tuple(kind for name, kind in signature.outputs if name not in state_names),
        state_kinds=tuple(kind for _, kind in held),
    )


def _constant_key(value: float) -> float | str:
    """0.0 == -0.0 in Python, yet they are two constants."""
    return value if value != 0.0 else str(value)


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
