"""An `optax` gradient transformation: one module that needs only JAX and optax."""

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
    small_kinds,
    state_name,
    uses,
    wanted,
    write_functions,
    write_module,
)
from primitives.emit.parts import Part
from primitives.kinds import COLUMN, ROW, SCALAR, TENSOR, Kind
from primitives.primitive import Vocabulary
from primitives.program import Program

_IMPORTS = "from typing import Any, NamedTuple\n\nimport jax\nimport jax.numpy as jnp\nimport optax"

_LEAVES = '''\
def leaves(tree: Any) -> list[Any]:
    """Returns the arrays of a tree that have entries."""
    return [jnp.asarray(x) for x in jax.tree.leaves(tree) if jnp.size(x)]'''

_LIKE = '''\
def like(tree: Any, values: list[Any]) -> Any:
    """Puts values into a tree like `tree`, at the shapes and types of its arrays that have entries."""
    arrays, treedef = jax.tree.flatten(tree)
    filled = [i for i, x in enumerate(arrays) if jnp.size(x)]
    for i, value in zip(filled, values, strict=True):
        x = arrays[i]
        arrays[i] = jnp.broadcast_to(value, jnp.shape(x)).astype(jnp.result_type(x))
    return jax.tree.unflatten(treedef, arrays)'''

_FULL = '''\
def full(shape: tuple[int, ...], value: float, like: Any) -> Any:
    """Returns an array of one number, in single precision at least; nothing beside what has no entries."""
    return jnp.full(shape if jnp.size(like) else (0,), value, jnp.result_type(like, jnp.float32))'''

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
    parts = read_parts(program, vocabulary, card, dtype)
    dialect = Dialect(
        xp="jnp",
        scalar=lambda source: f"jnp.asarray({source}, dtype)",
        trees={
            "w": "leaves(params)",
            "g": "leaves(updates)",
            **{name: f"leaves({name})" for name in MORE[1:]},
        },
        state=lambda variable: f"leaves(state.{variable})",
        number=lambda variable: f"state.{variable}.astype(dtype)",
        like="g",
        full=lambda like, value: f"jnp.full(jnp.shape({like}), {value})",
    )
    bodies = [write_body(part.rule, vocabulary, dialect) for part in parts]
    definitions = [_LEAVES, _LIKE, *write_functions(bodies, dialect)]
    definitions += [_FULL] if any(small_kinds(part.rule) for part in parts) else []
    for index, (part, body) in enumerate(zip(parts, bodies, strict=True)):
        definitions += [_state(card, part), _factory(card, part, body, index, sees_model(part, vocabulary))]
    if len(parts) > 1:
        definitions.append(_together(card, parts))
    use = _USE.replace("NAME", card.name).replace("RATE", "" if card.learning_rate.default is not None else "1e-3")
    return write_module(card, program, parts, vocabulary, use, _IMPORTS, definitions)


def _state(card: Card, part: Part) -> str:
    lines = [
        f"class {state_name(card, part.label)}(NamedTuple):",
        '    """Number of steps taken, and what lives on from step to step in trees like that of the parameters."""',
        "",
        "    count: Any",
    ]
    return "\n".join([*lines, *(f"    {name}: Any" for name, _, _ in part.rule.state)])


def _header(card: Card, parts: Sequence[Part], name: str) -> list[str]:
    """Header and docstring of a function that makes a transformation."""
    default = card.learning_rate.default
    rate = "a number, or a schedule of the number of steps taken"
    if not uses(parts, "lr"):
        rate = "not used: the rule's step size is its own"
    given = [f"learning_rate: optax.ScalarOrSchedule{'' if default is None else f' = {number(default)}'}"]
    given += defaults(card, parts)
    given += ["seed: int = 0"] if uses(parts, "noise") else []
    return [
        *header(f"def {name}", given, "optax.GradientTransformationExtraArgs"),
        f'    """Makes the transformation `{name}`; its updates are ready for `optax.apply_updates`.',
        "",
        "    Args:",
        f"        learning_rate: {rate}.",
        *arguments(card, parts, "        "),
        *(["        seed: of the noise where `update` is given none."] if uses(parts, "noise") else []),
        *([""] if asked(parts) else []),
        *(f"    `update` takes {line}" for line in wanted(parts, "")),
        '    """',
    ]


def _factory(card: Card, part: Part, body: Body, index: int, whole: bool) -> str:
    name, state = f"{card.name}{part.suffix}", state_name(card, part.label)
    zeros = ["count=jnp.zeros([], jnp.int32)"]
    zeros += [f"{variable}={_first(kind, value)}" for variable, kind, value in begins(part.rule)]
    fields = ["count=state.count + 1"]
    fields += [
        f"{variable}=jnp.asarray({body.state[variable]}, state.{variable}.dtype)"
        if kind is SCALAR
        else f"{variable}=like(state.{variable}, {body.state[variable]})"
        for variable, kind, _ in begins(part.rule)
    ]
    extra = asked([part])
    lines = [
        *_header(card, [part], name),
        "",
        f"    def init_fn(params: Any) -> {state}:",
        *(
            ["        params = jax.tree.map(jnp.asarray, params)"]
            if {ROW, COLUMN} & {*part.rule.graph.state_kinds}
            else []
        ),
        *call("        return ", state, zeros),
        "",
        *header(
            "def update_fn",
            [
                "updates: Any",
                "state: Any",
                "params: Any = None",
                *(["*"] if extra else []),
                *(f"{one}: Any = None" for one in extra),
                "**extra_args: Any",
            ],
            "tuple[Any, Any]",
            "    ",
        ),
        "        del extra_args",
    ]
    missing = {one: f"`{one}`: give it to `update`" for one in extra if one != "noise"}
    missing |= {"params": "the parameters: give `params` to `update`"} if uses([part], "w") else {}
    for one, what in missing.items():
        lines += [f"        if {one} is None:", f'            raise ValueError("{card.name} reads {what}")']
    source = list(body.lines)
    if "noise" in extra:
        key = "jax.random.fold_in(jax.random.key(seed), state.count)"
        source[:0] = _NOISE.replace("KEY", f"jax.random.fold_in({key}, {index})" if part.label else key).splitlines()
    for one in extra:  # the trees that are given are whole; those of a part, or of a masked transformation, are not
        if one != "value":
            source[:0] = _MASKED.replace("NAME", one).splitlines()
    if uses([part], "value"):
        source.insert(0, "value = jnp.asarray(value, dtype)")
    if uses([part], "t"):
        source.insert(0, "t = jnp.asarray(state.count + 1, dtype)")
    if uses([part], "lr"):
        source.insert(0, "lr = jnp.asarray(lr, dtype)")
        source.insert(0, "lr = learning_rate(state.count) if callable(learning_rate) else learning_rate")
    if any(", dtype)" in line or ".astype(dtype)" in line for line in source):
        source.insert(0, "dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(updates))")
    if whole:
        source[:0] = ["if not leaves(updates):  # no entries in all", "    return updates, state"]
    lines += [f"        {line}" for line in source]
    lines += [
        *call("        state = ", state, fields),
        f"        return like(updates, [-update for update in {body.output}]), state",
        "",
        "    return optax.GradientTransformationExtraArgs(init_fn, update_fn)",
    ]
    return "\n".join(lines)


def _together(card: Card, parts: Sequence[Part]) -> str:
    """The factory for all tensors: each part has its own."""
    lines = [*_header(card, parts, card.name), "", "    def label(x: Any) -> str:"]
    lines += ['        if not hasattr(x, "ndim"):  # a plain number', f'            return "{parts[-1].label}"']
    for part in parts[:-1]:
        lines += [f"        if {part.test}:", f'            return "{part.label}"']
    lines += [f'        return "{parts[-1].label}"', "", "    parts: dict[Any, optax.GradientTransformation] = {"]
    for part in parts:
        given = ["learning_rate", *(f"{one.name}={one.name}" for one in parameters(card, [part]))]
        given += ["seed=seed"] if uses([part], "noise") else []
        lines.append(f'        "{part.label}": {card.name}_{part.label}({", ".join(given)}),')
    lines += [
        "    }",
        "    whole = optax.multi_transform(parts, lambda params: jax.tree.map(label, params))",
        "    return optax.with_extra_args_support(whole)",
    ]
    return "\n".join(lines)


_NOISE = """\
if noise is None:
    shapes = leaves(updates)
    key = KEY
    keys = jax.random.split(key, len(shapes))
    noise = [jax.random.normal(key, x.shape, x.dtype) for key, x in zip(keys, shapes, strict=True)]"""

_MASKED = """\
if NAME is not None:
    masked = jax.tree.leaves(updates, is_leaf=lambda x: isinstance(x, optax.MaskedNode))
    pairs = zip(jax.tree.leaves(NAME), masked, strict=True)
    NAME = [x for x, held in pairs if not isinstance(held, optax.MaskedNode)]"""


def _first(kind: Kind, value: float | str) -> str:
    """Source of the first value of a state variable."""
    if isinstance(value, str):
        return "jax.tree.map(jnp.copy, params)"
    if kind is SCALAR:
        return f"jnp.full([], {number(value)}, jnp.result_type(jnp.float32, *jax.tree.leaves(params)))"
    if kind is TENSOR:
        zeros = "jnp.zeros_like" if value == 0.0 else f"lambda x: jnp.full_like(x, {number(value)})"
        return f"jax.tree.map({zeros}, params)"
    return f"jax.tree.map(lambda x: full({shape_of(kind)}, {number(value)}, x), params)"
