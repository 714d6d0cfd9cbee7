"""An `optax` gradient transformation: one module that needs only JAX and optax."""

from primitives.emit.loops import (
    Body,
    Dialect,
    check_emittable,
    check_name,
    indented,
    model_primitives,
    number,
    write_body,
    write_model_function,
)
from primitives.emit.readable import Rule, readable, readable_program
from primitives.primitive import Vocabulary
from primitives.program import Program
from primitives.text import render

_FUNCTIONS = {
    "like": '''\
def like(tree: Any, values: list[Any]) -> Any:
    """Puts values into a tree like `tree`, at the shapes and types of its arrays."""
    old, treedef = jax.tree.flatten(tree)
    new = [jnp.broadcast_to(value, x.shape).astype(x.dtype) for x, value in zip(old, values, strict=True)]
    return jax.tree.unflatten(treedef, new)''',
    "flat": '''\
def flat(arrays: list[Any]) -> Any:
    """Returns all entries as one vector."""
    return jnp.concatenate([jnp.ravel(x) for x in arrays])''',
    "split": '''\
def split(vector: Any, arrays: list[Any]) -> list[Any]:
    """Cuts a vector into pieces with the shapes of `arrays`."""
    pieces, end = [], 0
    for x in arrays:
        start, end = end, end + jnp.size(x)
        pieces.append(vector[start:end].reshape(jnp.shape(x)))
    return pieces''',
    "spread": '''\
def spread(values: list[Any], arrays: list[Any]) -> list[Any]:
    """Repeats each value over the entries of its array."""
    return [jnp.full(jnp.shape(x), value) for x, value in zip(arrays, values, strict=True)]''',
}


def emit_optax(
    program: Program, vocabulary: Vocabulary, name: str, learning_rate: float | None = None, dtype: str = "float32"
) -> str:
    """Returns a module with `<name>(learning_rate)`, which makes an `optax.GradientTransformationExtraArgs`.

    The learning rate may be a number or a schedule. A program's update is subtracted from the parameters, those of
    optax are added: signs are turned.

    Args:
        program: any valid update rule; what is written is its canonical form.
        vocabulary: the primitives it uses.
        name: the rule's name, a Python identifier.
        learning_rate: default of the factory's argument; None makes it one that must be given.
        dtype: type of the program's constants.

    Raises:
        ProgramError: the program is not valid, or no update rule.
        ValueError: the name is no identifier.
    """
    models = [primitive.name for primitive in model_primitives(program, vocabulary)]
    check_name(name, models)
    avoid = [name, *models]
    rule = readable(program, vocabulary, dtype, avoid)
    check_emittable(rule)
    dialect = Dialect(
        xp="jnp",
        scalar=lambda source: f"jnp.asarray({source}, dtype)",
        trees={"w": "jax.tree.leaves(params)", "g": "jax.tree.leaves(updates)"},
        state=lambda variable: f"jax.tree.leaves(state.{variable})",
        like="g",
    )
    body = write_body(rule, vocabulary, dialect)
    text = render(readable_program(rule), vocabulary)
    state = "".join(part.capitalize() for part in name.split("_")) + "State"
    functions = [_FUNCTIONS[key] for key in ("like", *body.calls)]
    functions += ["\n".join(write_model_function(primitive, "jnp")) for primitive in body.models]
    functions += [_state(rule, state), _factory(rule, body, name, state, learning_rate)]
    head = (
        f'"""{name}: an update rule found by search, as an optax gradient transformation.\n\n{indented(text)}{_USE}"""'
    )
    imports = "from typing import Any, NamedTuple\n\nimport jax\nimport jax.numpy as jnp\nimport optax"
    return "\n\n\n".join((f"{head}\n\n{imports}".replace("NAME", name), *functions)) + "\n"


_USE = """Use:

    optimizer = NAME(1e-3)  # or a schedule
    state = optimizer.init(params)
    updates, state = optimizer.update(grads, state, params)
    params = optax.apply_updates(params, updates)
"""


def _state(rule: Rule, state: str) -> str:
    lines = [
        f"class {state}(NamedTuple):",
        '    """Number of steps taken, and what lives on from step to step in trees like that of the parameters."""',
        "",
        "    count: Any",
    ]
    return "\n".join([*lines, *(f"    {name}: Any" for name, _, _ in rule.state)])


def _factory(rule: Rule, body: Body, name: str, state: str, learning_rate: float | None) -> str:
    default = "" if learning_rate is None else f" = {number(learning_rate)}"
    uses = "a number, or a schedule of the number of steps taken"
    if "lr" not in rule.graph.inputs:
        uses = "not used: the rule's step size is its own"
    zeros = ["count=jnp.zeros([], jnp.int32)"]
    zeros += [f"{variable}=jax.tree.map(jnp.zeros_like, params)" for variable, _, _ in rule.state]
    fields = ["count=state.count + 1"]
    fields += [f"{variable}=like(state.{variable}, {source})" for variable, source in body.state.items()]
    lines = [
        f"def {name}(learning_rate: optax.ScalarOrSchedule{default}) -> optax.GradientTransformationExtraArgs:",
        f'    """Makes the transformation `{name}`; its updates are ready for `optax.apply_updates`.',
        "",
        "    Args:",
        f"        learning_rate: {uses}.",
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
