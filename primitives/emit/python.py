"""Readable source that needs only NumPy."""

from primitives.card import Card
from primitives.emit.loops import Body, Dialect, number, write_body
from primitives.emit.module import arguments, header, parameters, plain, read_rule, write_model_side, write_module
from primitives.emit.readable import Rule
from primitives.primitive import Vocabulary
from primitives.program import Program

_IMPORTS = "from typing import Any, NamedTuple\n\nimport numpy as np"

_LEAVES = '''\
def leaves(tree: Any) -> list[Any]:
    """Returns the arrays in a dict, by key, or in a list."""
    return [tree[key] for key in sorted(tree)] if isinstance(tree, dict) else list(tree)'''

_LIKE = '''\
def like(tree: Any, values: list[Any]) -> Any:
    """Puts values into a container like `tree`, at the shapes and types of its arrays."""
    arrays = [np.full(np.shape(x), value, np.asarray(x).dtype) for x, value in zip(leaves(tree), values, strict=True)]
    return dict(zip(sorted(tree), arrays, strict=True)) if isinstance(tree, dict) else arrays'''

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
    rule = read_rule(program, vocabulary, card, dtype)
    dialect = Dialect(
        xp="np",
        scalar=lambda source: f"np.float64({source})",
        trees={"w": "leaves(params)", "g": "leaves(grads)"},
        state=lambda variable: f"leaves(state.{variable})",
        like="g",
        full=lambda like, value: f"np.full(np.shape({like}), {value})",
    )
    body = write_body(rule, vocabulary, dialect)
    definitions = [
        _LEAVES,
        _LIKE,
        *write_model_side(body, dialect),
        _state(rule),
        _init(rule),
        _update(card, rule, body),
    ]
    return write_module(card, rule, vocabulary, _USE, _IMPORTS, definitions)


def _uses(rule: Rule, name: str) -> bool:
    return name in rule.graph.inputs


def _state(rule: Rule) -> str:
    lines = [
        "class State(NamedTuple):",
        '    """What lives on from step to step, in containers like that of the parameters."""',
    ]
    fields = ["    t: int"] if _uses(rule, "t") else []
    fields += [f"    {name}: Any" for name, _, _ in rule.state]
    return "\n".join([*lines, "", *fields] if fields else lines)


def _init(rule: Rule) -> str:
    fields = ["t=0"] if _uses(rule, "t") else []
    fields += [f"{name}=like(params, [0.0] * len(params))" for name, _, _ in rule.state]
    call = [f"    return State({', '.join(fields)})"]
    if len(fields) > 1:
        call = ["    return State(", *(f"        {field}," for field in fields), "    )"]
    return "\n".join(
        ["def init(params: Any) -> State:", '    """Returns the state before the first step: zeros."""', *call]
    )


def _update(card: Card, rule: Rule, body: Body) -> str:
    given = ["params: Any", "grads: Any", "state: State", "lr: Any"]
    given += [f"{one.name}: float = {number(one.default or 0.0)}" for one in parameters(card, rule)]
    lines = [
        *header("def update", given, "tuple[Any, State]"),
        '    """Returns what to subtract from the parameters, and the next state.',
        "",
        "    Args:",
        "        params: dict or list of arrays.",
        "        grads: gradient of the loss, in the same container.",
        "        state: what `init` or the last call returned.",
        "        lr: learning rate of this step.",
        *arguments(card, rule, "        "),
        '    """',
    ]
    if _uses(rule, "t"):
        lines.append("    t = np.float64(state.t + 1)")
    if _uses(rule, "lr"):
        lines.append("    lr = np.float64(lr)")
    lines += [f"    {line}" for line in body.lines]
    fields = ["t=state.t + 1"] if _uses(rule, "t") else []
    fields += [f"{name}=like(state.{name}, {source})" for name, source in body.state.items()]
    if len(fields) > 1:
        lines += ["    state = State(", *(f"        {field}," for field in fields), "    )"]
    elif fields:
        lines.append(f"    state = State({fields[0]})")
    lines.append(f"    return like(grads, {body.output}), state")
    return "\n".join(lines)
