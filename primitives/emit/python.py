"""Readable source that needs only NumPy."""

from collections.abc import Sequence

from primitives.card import Card
from primitives.emit.loops import Body, Dialect, number, write_body
from primitives.emit.module import (
    MORE,
    arguments,
    asked,
    begins,
    call,
    defaults,
    header,
    parameters,
    plain,
    read_parts,
    sees_model,
    shape_of,
    uses,
    wanted,
    write_functions,
    write_module,
)
from primitives.emit.parts import Part
from primitives.kinds import SCALAR, TENSOR, Kind
from primitives.primitive import Vocabulary
from primitives.program import Program

_IMPORTS = "from typing import Any, NamedTuple\n\nimport numpy as np"

_LEAVES = '''\
def leaves(tree: Any) -> list[Any]:
    """Returns the arrays that have entries in a dict, by key, or in a list."""
    arrays = [tree[key] for key in sorted(tree)] if isinstance(tree, dict) else tree
    return [np.asarray(x) for x in arrays if np.size(x)]'''

_PUT = '''\
def put(tree: Any, arrays: list[Any]) -> Any:
    """Puts arrays into a container like `tree`, in the place of those that have entries."""
    keys = sorted(tree) if isinstance(tree, dict) else range(len(tree))
    filled = [key for key in keys if np.size(tree[key])]
    found = {key: tree[key] for key in keys} | dict(zip(filled, arrays, strict=True))
    return found if isinstance(tree, dict) else [*found.values()]'''

_LIKE = '''\
def like(tree: Any, values: list[Any]) -> Any:
    """Puts values into a container like `tree`, at the shapes and types of its arrays."""
    pairs = zip(leaves(tree), values, strict=True)
    return put(tree, [np.full(x.shape, value, x.dtype) for x, value in pairs])'''

_USE = """On NumPy arrays:

    state = init(params)
    for lr in learning_rates:
        updates, state = update(params, gradient(params), state, lr)
        params = {key: params[key] - updates[key] for key in params}
"""


def emit_python(program: Program, vocabulary: Vocabulary, card: Card, dtype: str = "float32") -> str:
    """Returns a module with `init(params)` and `update(params, grads, state, lr)` on dicts or lists of arrays.

    Args:
        program: any valid update rule; what is written is its canonical form.
        vocabulary: the primitives it uses.
        card: its name, learning rate, hyper-parameters and what its docstring tells.
        dtype: type of the program's constants.

    Raises:
        ProgramError: the program is not valid, or no update rule.
        ValueError: the name is no identifier.
    """
    card = plain(card)
    parts = read_parts(program, vocabulary, card, dtype)
    dialect = Dialect(
        xp="np",
        scalar=lambda source: f"np.float64({source})",
        trees={"w": "leaves(params)", "g": "leaves(grads)", **{name: f"leaves({name})" for name in MORE[1:]}},
        state=lambda variable: f"leaves(state.{variable})",
        number=lambda variable: f"state.{variable}",
        like="g",
        full=lambda like, value: f"np.full(np.shape({like}), {value})",
    )
    bodies = [write_body(part.rule, vocabulary, dialect) for part in parts]
    definitions = [_LEAVES, _PUT, _LIKE, *write_functions(bodies, dialect)]
    for part, body in zip(parts, bodies, strict=True):
        definitions += [_state(part), _init(part), _update(card, part, body, sees_model(part, vocabulary))]
    if len(parts) > 1:
        definitions += _together(card, parts)
    return write_module(card, program, parts, vocabulary, _USE, _IMPORTS, definitions)


def _state(part: Part) -> str:
    lines = [
        f"class {part.label.capitalize()}State(NamedTuple):",
        '    """What lives on from step to step, in containers like that of the parameters."""',
    ]
    fields = ["    t: int"] if uses([part], "t") else []
    fields += [f"    {name}: Any" for name, _, _ in part.rule.state]
    return "\n".join([*lines, "", *fields] if fields else lines)


def _init(part: Part) -> str:
    fields = ["t=0"] if uses([part], "t") else []
    fields += [f"{name}={_first(kind, value)}" for name, kind, value in begins(part.rule)]
    state = f"{part.label.capitalize()}State"
    doc = "zeros" if not any(part.rule.initial) else "what the first step begins with"
    return "\n".join(
        [
            f"def init{part.suffix}(params: Any) -> {state}:",
            f'    """Returns the state before the first step: {doc}."""',
            *call("    return ", state, fields),
        ]
    )


def _first(kind: Kind, value: float | str) -> str:
    """Source of the first value of a state variable."""
    if isinstance(value, str):
        return "like(params, leaves(params))"
    if kind is SCALAR:
        return f"np.float64({number(value)})"
    if kind is TENSOR:
        return f"like(params, [{number(value)}] * len(leaves(params)))"
    return f"put(params, [np.full({shape_of(kind)}, {number(value)}) for x in leaves(params)])"


def _header(card: Card, parts: Sequence[Part], name: str, state: str) -> list[str]:
    """Header and docstring of a function that takes a step."""
    given = ["params: Any", "grads: Any", f"state: {state}", "lr: Any"]
    given += defaults(card, parts)
    given += ["*", *(f"{one}: Any" for one in asked(parts))] if asked(parts) else []
    return [
        *header(f"def {name}", given, f"tuple[Any, {state}]"),
        '    """Returns what to subtract from the parameters, and the next state.',
        "",
        "    Args:",
        "        params: dict or list of arrays.",
        "        grads: gradient of the loss, in the same container.",
        "        state: what `init` or the last call returned.",
        "        lr: learning rate of this step.",
        *arguments(card, parts, "        "),
        *wanted(parts, "        "),
        '    """',
    ]


def _update(card: Card, part: Part, body: Body, whole: bool) -> str:
    state = f"{part.label.capitalize()}State"
    lines = _header(card, [part], f"update{part.suffix}", state)
    if whole:
        lines += ["    if not leaves(grads):  # no entries in all", "        return grads, state"]
    if uses([part], "t"):
        lines.append("    t = np.float64(state.t + 1)")
    lines += [f"    {name} = np.float64({name})" for name in ("lr", "value") if uses([part], name)]
    lines += [f"    {line}" for line in body.lines]
    fields = ["t=state.t + 1"] if uses([part], "t") else []
    fields += [
        f"{name}=np.float64({body.state[name]})" if kind is SCALAR else f"{name}=like(state.{name}, {body.state[name]})"
        for name, kind, _ in begins(part.rule)
    ]
    lines += call("    state = ", state, fields) if fields else []
    lines.append(f"    return like(grads, {body.output}), state")
    return "\n".join(lines)


def _together(card: Card, parts: Sequence[Part]) -> list[str]:
    """`State`, `init` and `update` for all tensors: each part sees a list of its own."""
    state = ["class State(NamedTuple):", '    """The state of each part, in lists."""', ""]
    state += [f"    {part.label}: {part.label.capitalize()}State" for part in parts]
    first = ["def init(params: Any) -> State:", '    """Returns the state before the first step."""']
    fields = [f"{part.label}=init_{part.label}([x for x in leaves(params) if {part.test}])" for part in parts]
    step = _header(card, parts, "update", "State")
    step += ["    updates: list[Any] = [None] * len(leaves(grads))"]
    for part in parts:
        own = [one.name for one in parameters(card, [part])]
        given = ["lists[0]", "lists[1]", f"state.{part.label}", "lr", *(f"{name}={name}" for name in own)]
        lists = ["params", "grads", *asked([part])]
        lists.remove("value") if "value" in lists else None
        given += [f"{name}=lists[{i}]" for i, name in enumerate(lists) if i > 1]
        given += ["value=value"] if uses([part], "value") else []
        step += [
            f"    index = [i for i, x in enumerate(leaves(grads)) if {part.test}]",
            f"    lists = [[leaves(tree)[i] for i in index] for tree in ({', '.join(lists)})]",
            f"    found, {part.label} = update_{part.label}({', '.join(given)})",
            "    for i, one in zip(index, found, strict=True):",
            "        updates[i] = one",
        ]
    labels = ", ".join(f"{part.label}={part.label}" for part in parts)
    step.append(f"    return put(grads, updates), State({labels})")
    return ["\n".join(state), "\n".join([*first, *call("    return ", "State", fields)]), "\n".join(step)]
