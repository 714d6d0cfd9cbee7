"""A module of source around the body of an update rule: what Python-like targets share."""

from collections.abc import Iterable
from inspect import signature

from primitives.emit.loops import Body
from primitives.emit.naming import RESERVED
from primitives.emit.readable import Rule, readable, readable_program
from primitives.kinds import TENSOR
from primitives.primitive import Primitive, Scope, Vocabulary
from primitives.program import Program, ProgramError
from primitives.text import render

_MODEL_SIDE = {
    "flat": '''\
def flat(arrays: list[Any]) -> Any:
    """Returns all entries as one vector."""
    return {xp}.concatenate([{xp}.ravel(x) for x in arrays])''',
    "split": '''\
def split(vector: Any, arrays: list[Any]) -> list[Any]:
    """Cuts a vector into pieces with the shapes of `arrays`."""
    pieces, end = [], 0
    for x in arrays:
        start, end = end, end + {xp}.size(x)
        pieces.append(vector[start:end].reshape({xp}.shape(x)))
    return pieces''',
    "spread": '''\
def spread(values: list[Any], arrays: list[Any]) -> list[Any]:
    """Repeats each value over the entries of its array."""
    return [{xp}.full({xp}.shape(x), value) for x, value in zip(arrays, values, strict=True)]''',
}


def read_rule(program: Program, vocabulary: Vocabulary, name: str, dtype: str) -> Rule:
    """Returns an update rule ready to be written as an optimizer.

    Args:
        program: any valid update rule.
        vocabulary: the primitives it uses.
        name: the name that the source gives it.
        dtype: type of the program's constants.

    Raises:
        ProgramError: the program is not valid; inputs other than w, g, lr and t, state that is not TENSOR, or not
            exactly one output.
        ValueError: the name is no identifier, or one that the source uses itself.
    """
    operations = {s.op: vocabulary[s.op] for s in program.statements if s.op in vocabulary}
    functions = [operation.name for operation in operations.values() if operation.scope is Scope.MODEL]
    if not name.isidentifier() or not name.isascii() or name in {*RESERVED, *functions}:
        raise ValueError(f"a rule must be named by a free Python identifier, got {name!r}; choose another name")
    rule = readable(program, vocabulary, dtype, [name, *functions])
    data = [rule.names[ref] for ref in range(len(rule.graph.inputs))]
    if not set(data) <= {"w", "g", "lr", "t"} or len(rule.output) != 1:
        raise ProgramError(
            f"only an update rule with inputs among w, g, lr, t and one output can be written as an optimizer, "
            f"got inputs {', '.join(data)} and outputs {', '.join(rule.output)}; export it as text"
        )
    if any(kind != TENSOR for kind in rule.graph.state_kinds):
        raise ProgramError("the state of an optimizer must be TENSOR; export the program as text")
    return rule


def write_model_side(body: Body, xp: str) -> list[str]:
    """Returns the source of the functions on flat vectors that a body calls; `xp` is the name of the array module."""
    shared = [_MODEL_SIDE[call].format(xp=xp) for call in body.calls]
    return shared + [_write_primitive(primitive, xp) for primitive in body.models]


def _write_primitive(primitive: Primitive, xp: str) -> str:
    names = list(signature(primitive.fn).parameters)[1:]
    return (
        f"def {primitive.name}({', '.join(f'{name}: Any' for name in names)}) -> Any:\n"
        f'    """Returns {primitive.doc}."""\n'
        f"    return {primitive.python.format(*names, xp=xp)}"
    )


def write_module(
    title: str, rule: Rule, vocabulary: Vocabulary, use: str, imports: str, definitions: Iterable[str]
) -> str:
    """Returns the source of a module.

    Args:
        title: first sentence of its docstring.
        rule: the rule, shown in the docstring as a program.
        vocabulary: the primitives it uses.
        use: how to use the module, the end of its docstring.
        imports: its imports.
        definitions: its functions and classes.
    """
    text = "".join(f"    {line}\n" for line in render(readable_program(rule), vocabulary).splitlines())
    return "\n\n\n".join((f'"""{title}\n\n{text}\n{use}"""\n\n{imports}', *definitions)) + "\n"
