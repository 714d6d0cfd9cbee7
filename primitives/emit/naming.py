"""Names for the values of a canonical form: the author's own where a value is the same."""

import builtins
import keyword
from collections.abc import Mapping
from dataclasses import replace
from zlib import crc32

import numpy as np

from primitives.graph import Graph
from primitives.kinds import SCALAR, TENSOR
from primitives.layout import Layout
from primitives.primitive import Vocabulary
from primitives.program import COPY, Program
from primitives.reference import values, zero_state

_LONGEST = 12
"""Longest name, so that lines stay short."""
_SCAFFOLD = (
    "advance Any arrays axis both Callable closure count cut defaults done dtype end extra_args filled flat following "
    "foreach found full given grads group held hessian_diagonal i index init init_fn Iterable jax jnp joined key "
    "keys kind kinds label layout leaf learning_rate leaves like lists loss masked matrix maximize name "
    "NamedTuple names new next_state noise np old one optax other out own p pairs params part partial parts PIECE "
    "piece pieces put result results saved scalar scalars seed self shape shapes sign small split spread start "
    "State state state_dict states step tall Tensor tensors torch tree treedef turned update_fn updates value "
    "values vector weights whole wide write x"
)
RESERVED = frozenset((*_SCAFFOLD.split(), *dir(builtins), *keyword.kwlist, *keyword.softkwlist))
"""Names that emitted source uses itself."""
_DEFINED = (
    "Any Callable Iterable NamedTuple PIECE State Tensor advance flat full init jax jnp layout leaves like np optax "
    "partial put sign split spread step torch update write"
)
MODULE = frozenset((*_DEFINED.split(), *dir(builtins), *keyword.kwlist, *keyword.softkwlist))
"""Those that a whole module of it sees."""


def authors_names(program: Program, checked: Graph, graph: Graph, vocabulary: Vocabulary, dtype: str) -> dict[int, str]:
    """Returns the author's names of values of the canonical form: those with equal histories on random inputs."""
    targets = [s.target for s in program.statements if not (s.op == COPY and len(s.args) == 1)]
    numbers = [""] * len(checked.constants)
    author: dict[tuple, str] = {}
    with np.errstate(over="ignore"):  # a constant that no output needs may be too large for the type
        checked = replace(checked, constants=tuple(float(np.dtype(dtype).type(c)) for c in checked.constants))
    for name, history in zip(
        (*checked.inputs, *checked.state, *numbers, *targets), _histories(checked, vocabulary), strict=True
    ):
        if name:
            author.setdefault(history, name)
    return {ref: author[h] for ref, h in enumerate(_histories(graph, vocabulary)) if h in author}


def _histories(graph: Graph, vocabulary: Vocabulary) -> list[tuple]:
    """Kind and values over three steps of every reference."""
    layout = Layout(((2, 3), (4, 2), (2,), (2, 2, 3)))
    state = zero_state(graph, layout)
    histories: list[tuple] = [(kind.name,) for kind in graph.kinds]
    for step in range(3):
        # from the name alone: what else a graph reads must not matter
        rngs = {name: np.random.default_rng([step, crc32(name.encode())]) for name in graph.inputs}
        numbers = {name: rng.uniform(-1.0, 1.0, layout.size) for name, rng in rngs.items()}
        inputs = {
            name: numbers[name] if kind is TENSOR else abs(numbers[name][0])
            for name, kind in zip(graph.inputs, graph.kinds, strict=False)
        } | {"t": np.float64(step + 1)}
        found, _, state = values(graph, vocabulary, layout, inputs, state)
        histories = [(*h, np.asarray(v).tobytes()) for h, v in zip(histories, found, strict=True)]
    return histories


def name_values(
    graph: Graph,
    order: list[int],
    phases: Mapping[int, tuple[int, bool]],
    wanted: Mapping[int, str],
    outputs: tuple[str, ...],
    reserved: set[str],
) -> dict[int, str]:
    """Returns names of inputs, state and nodes; two values that are needed at the same time never share one."""
    names: dict[int, str] = dict(enumerate(graph.inputs))
    first_state, first_constant = len(graph.inputs), len(graph.inputs) + len(graph.state)
    for ref in range(first_state, first_constant):
        name = _fit(wanted.get(ref, graph.state[ref - first_state]))
        names[ref] = free(name, {*names.values(), *outputs, *reserved})
    end_of_phase = {phases[ref]: position + 1 for position, ref in enumerate(order)}
    last = {}
    for position, ref in enumerate(order):
        for arg in graph.nodes[ref - graph.first_node].args:
            # A loop reads the values from outside it again in the next round.
            again = phases[ref][1] and phases.get(arg) != phases[ref] and graph.kinds[arg] == SCALAR
            last[arg] = end_of_phase[phases[ref]] if again else position
    for ref in (*graph.outputs, *graph.next_state):
        last[ref] = len(order)
    state_of = {ref: first_state + i for i, ref in reversed(list(enumerate(graph.next_state)))}
    output_of = dict(zip(graph.outputs, outputs, strict=False))  # a graph that moves the parameters has none
    for position, ref in enumerate(order):
        live = {names[r] for r, end in last.items() if r in names and end > position}
        state_names = {names[r] for r in range(first_state, first_constant)}
        taken = {*live, *state_names, *reserved}
        own = names.get(state_of.get(ref, -1))
        if own is not None and own not in live:
            names[ref] = own
        elif ref in output_of and output_of[ref] not in taken:
            names[ref] = output_of[ref]
        else:
            names[ref] = free(_fit(wanted.get(ref) or graph.nodes[ref - graph.first_node].op), taken)
    return names


def _fit(name: str) -> str:
    return name.strip("_")[:_LONGEST].rstrip("_") or "x"


def free(name: str, taken: set[str]) -> str:
    """Returns `name`, or `name_2`, `name_3` ... if it is taken."""
    unused, n = name, 2
    while unused in taken:
        unused, n = f"{name}_{n}", n + 1
    return unused
