"""An `optax` gradient transformation: one module that needs only JAX and optax."""

from primitives.card import Card
from primitives.emit.loops import Body, Dialect, number, write_body
from primitives.emit.module import (
    arguments,
    class_name,
    header,
    parameters,
    plain,
    read_rule,
    write_model_side,
    write_module,
)
from primitives.emit.readable import Rule
from primitives.primitive import Vocabulary
from primitives.program import Program

_IMPORTS = "from typing import Any, NamedTuple\n\nimport jax\nimport jax.numpy as jnp\nimport optax"

_LIKE = '''\
def like(tree: Any, values: list[Any]) -> Any:
    """Puts values into a tree like `tree`, at the shapes and types of its arrays."""
    old, treedef = jax.tree.flatten(tree)
    new = [jnp.broadcast_to(value, x.shape).astype(x.dtype) for x, value in zip(old, values, strict=True)]
    return jax.tree.unflatten(treedef, new)'''

_USE = """As a gradient transformation of optax:

    optimizer = NAME(RATE)  # the learning rate may be a schedule
    state = optimizer.init(params)
    updates, state = optimizer.update(grads, state, params)
    params = optax.apply_updates(params, updates)
"""


def emit_optax(program: Program, vocabulary: Vocabulary, card: Card, dtype: str = "float32") -> str:
    """Returns a module with `<name>(learning_rate, ...)`, which makes an `optax.GradientTransformationExtraArgs`.

    The learning rate may be a number or a schedule. A program's update is subtracted from the parameters, those of
    optax are added: signs are turned.

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
        xp="jnp",
        scalar=lambda source: f"jnp.asarray({source}, dtype)",
        trees={"w": "jax.tree.leaves(params)", "g": "jax.tree.leaves(updates)"},
        state=lambda variable: f"jax.tree.leaves(state.{variable})",
        like="g",
        full=lambda like, value: f"jnp.full(jnp.shape({like}), {value})",
    )
    body = write_body(rule, vocabulary, dialect)
    state = class_name(card) + "State"
    factory = _factory(rule, body, card, state)
    definitions = [_LIKE, *write_model_side(body, dialect), _state(rule, state), factory]
    use = _USE.replace("NAME", card.name).replace("RATE", "" if card.learning_rate.default is not None else "1e-3")
    return write_module(card, rule, vocabulary, use, _IMPORTS, definitions)


def _state(rule: Rule, state: str) -> str:
    lines = [
        f"class {state}(NamedTuple):",
        '    """Number of steps taken, and what lives on from step to step in trees like that of the parameters."""',
        "",
        "    count: Any",
    ]
    return "\n".join([*lines, *(f"    {name}: Any" for name, _, _ in rule.state)])


def _factory(rule: Rule, body: Body, card: Card, state: str) -> str:
    name, default = card.name, card.learning_rate.default
    uses = "a number, or a schedule of the number of steps taken"
    if "lr" not in rule.graph.inputs:
        uses = "not used: the rule's step size is its own"
    given = [f"learning_rate: optax.ScalarOrSchedule{'' if default is None else f' = {number(default)}'}"]
    given += [f"{one.name}: float = {number(one.default or 0.0)}" for one in parameters(card, rule)]
    zeros = ["count=jnp.zeros([], jnp.int32)"]
    zeros += [f"{variable}=jax.tree.map(jnp.zeros_like, params)" for variable, _, _ in rule.state]
    fields = ["count=state.count + 1"]
    fields += [f"{variable}=like(state.{variable}, {source})" for variable, source in body.state.items()]
    lines = [
        *header(f"def {name}", given, "optax.GradientTransformationExtraArgs"),
        f'    """Makes the transformation `{name}`; its updates are ready for `optax.apply_updates`.',
        "",
        "    Args:",
        f"        learning_rate: {uses}.",
        *arguments(card, rule, "        "),
        '    """',
        "",
        f"    def init_fn(params: Any) -> {state}:",
        *_call("return ", state, zeros),
        "",
        "    def update_fn(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:",
        "        del extra_args",
    ]
    if "w" in rule.graph.inputs:
        lines += [
            "        if params is None:",
            f'            raise ValueError("{name} reads the parameters: give `params` to `update`")',
        ]
    source = list(body.lines)
    if "t" in rule.graph.inputs:
        source.insert(0, "t = jnp.asarray(state.count + 1, dtype)")
    if "lr" in rule.graph.inputs:
        source.insert(0, "lr = jnp.asarray(lr, dtype)")
        source.insert(0, "lr = learning_rate(state.count) if callable(learning_rate) else learning_rate")
    if any(", dtype)" in line for line in source):
        source.insert(0, "dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(updates))")
    lines += [f"        {line}" for line in source]
    lines += [
        *_call("state = ", state, fields),
        f"        return like(updates, [-update for update in {body.output}]), state",
        "",
        "    return optax.GradientTransformationExtraArgs(init_fn, update_fn)",
    ]
    return "\n".join(lines)


def _call(before: str, function: str, fields: list[str]) -> list[str]:
    """A call in the body of an inner function, one line where it has one argument."""
    if len(fields) == 1:
        return [f"        {before}{function}({fields[0]})"]
    return [f"        {before}{function}(", *(f"            {field}," for field in fields), "        )"]
