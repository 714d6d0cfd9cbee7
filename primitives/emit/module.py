"""A module of source around the body of an update rule: what Python-like targets share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from inspect import getsource, signature
from textwrap import dedent, indent, wrap

from primitives.card import TEXTS, Card, HyperParameter, Interval
from primitives.emit.loops import WIDTH, Body, Dialect, number
from primitives.emit.naming import MODULE, RESERVED
from primitives.emit.parts import Part, classes, specialize
from primitives.emit.readable import Rule, readable, readable_program
from primitives.graph import check_kinds
from primitives.kinds import COLUMN, LEAF, LEFT, RIGHT, ROW, SCALAR, TENSOR, Kind
from primitives.primitive import Primitive, Scope, Vocabulary
from primitives.program import Program, ProgramError, with_open
from primitives.text import render

DATA = ("w", "g", "lr", "t")
"""Inputs that every training loop has."""
MORE = ("value", "noise", "hessian_diagonal")
"""Inputs that a rule asks its user for."""

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


def read_parts(program: Program, vocabulary: Vocabulary, card: Card, dtype: str, moves: bool = False) -> list[Part]:
    """Returns an update rule ready to be written as an optimizer, its hyper-parameters as inputs.

    One part for each class of tensors that it tells apart.

    Args:
        program: any valid update rule.
        vocabulary: the primitives it uses.
        card: its name, learning rate and hyper-parameters.
        dtype: type of the program's constants.
        moves: whether the parameters are state too, as `readable` says.

    Raises:
        ProgramError: the program is not valid; inputs that no optimizer has, not exactly one output, a
            hyper-parameter that is no named constant, or matrices apart in a rule that sees the whole model.
        ValueError: the name is no identifier, or one that the source uses itself.
    """
    name, own = card.name, [parameter.name for parameter in card.hyperparameters]
    check_kinds(program, vocabulary)  # as it stands too: a hyper-parameter has its value before it is used
    program = with_open(program, own)
    operations = {s.op: vocabulary[s.op] for s in program.statements if s.op in vocabulary}
    functions = [one.name for one in operations.values() if one.scope is Scope.MODEL or not one.python]
    found = classes(program, vocabulary)
    derived = {class_name(card), f"{name}_step"} | {state_name(card, label) for label in found}
    derived |= {part for label in found if label for part in (f"{name}_{label}", f"{name}_{label}_step")}
    for parameter in own:
        if parameter in {*RESERVED, *functions, *derived, *(f"{state}_state" for state in program.signature.state)}:
            raise ValueError(f"a hyper-parameter must have a name of its own, got {parameter!r}; rename it")
    if not name.isidentifier() or not name.isascii() or {name, *derived} & {*MODULE, *functions}:
        raise ValueError(f"a rule must be named by a free Python identifier, got {name!r}; choose another name")
    ranges = {parameter.name: parameter.range for parameter in card.hyperparameters}
    ranges |= {"lr": card.learning_rate.range, "t": Interval(1.0, low_open=False)}
    parts = []
    for label, test in found.items():
        special = specialize(program, vocabulary, label)
        rule = readable(special, vocabulary, dtype, [name, *derived, *functions], ranges, True, moves)
        _check_signature(rule, program, own)
        parts.append(Part(label, test, rule))
    return parts


def _check_signature(rule: Rule, program: Program, own: list[str]) -> None:
    data = [rule.names[ref] for ref in range(len(rule.graph.inputs))]
    outputs = [name for name, _ in program.signature.outputs if name not in program.signature.state]
    if not set(data) <= {*DATA, *MORE, *own} or len(outputs) != 1:
        raise ProgramError(
            f"only an update rule with inputs among {', '.join((*DATA, *MORE))} and one output can be written as an "
            f"optimizer, got inputs {', '.join(data)} and outputs {', '.join(outputs)}; export it as text"
        )


def uses(parts: Sequence[Part], name: str) -> bool:
    """Returns whether a rule reads an input."""
    return any(name in part.rule.graph.inputs for part in parts)


def asked(parts: Sequence[Part]) -> list[str]:
    """Returns the inputs of a rule that its user must give at every step."""
    return [name for name in MORE if uses(parts, name)]


def begins(rule: Rule) -> list[tuple[str, Kind, float | str]]:
    """Returns name, kind and first value (a number, or `w` for a copy of the parameters) of every state variable."""
    return [
        (name, kind, value)
        for (name, _, _), kind, value in zip(rule.state, rule.graph.state_kinds, rule.initial, strict=True)
    ]


def small_kinds(rule: Rule) -> bool:
    """Returns whether a rule has state beside tensors that is neither a tensor nor a number."""
    return any(kind not in (SCALAR, TENSOR) for kind in rule.graph.state_kinds)


def sees_model(part: Part, vocabulary: Vocabulary) -> bool:
    """Returns whether a rule computes something over all entries of the model."""
    return any(vocabulary[line.op].scope is Scope.MODEL for line in part.rule.lines)


def shape_of(kind: Kind) -> str:
    """Returns the source of the shape of a value of `kind` beside a tensor `x`."""
    return {
        LEAF: "()",
        ROW: "(*x.shape[:1], *[1] * (x.ndim - 1))",
        COLUMN: "(1, *x.shape[1:])[: x.ndim]",
        LEFT: "(x.shape[0], x.shape[0])",
        RIGHT: "(x.shape[1], x.shape[1])",
    }[kind]


def plain(card: Card) -> Card:
    """Returns a card whose texts can stand in docstrings: what would end one, or escape a letter, is not in them."""

    def text(words: str) -> str:
        return words.replace("\\", "/").replace('"', "'")

    return replace(
        card,
        **{field: text(getattr(card, field)) for field in TEXTS},
        hyperparameters=tuple(replace(one, doc=text(one.doc)) for one in card.hyperparameters),
    )


def write_functions(bodies: Sequence[Body], dialect: Dialect, shared: Mapping[str, str] = _MODEL_SIDE) -> list[str]:
    """Returns the source of the functions that bodies call."""
    calls = dict.fromkeys(call for body in bodies for call in body.calls)
    written = [shared[call].format(xp=dialect.xp) for call in calls]
    primitives = {primitive.name: primitive for body in bodies for primitive in body.functions}
    return written + [_write_primitive(primitive, dialect) for primitive in primitives.values()]


def _write_primitive(primitive: Primitive, dialect: Dialect) -> str:
    if not dialect.template(primitive):
        source = dedent(getsource(primitive.fn)).rstrip()
        return source.replace("xp: Any, ", "").replace("xp.", f"{dialect.xp}.")
    names = list(signature(primitive.fn).parameters)[1:]
    return (
        f"def {primitive.name}({', '.join(f'{name}: Any' for name in names)}) -> Any:\n"
        f'    """Returns {primitive.doc}."""\n'
        f"    return {dialect.template(primitive).format(*names, xp=dialect.xp)}"
    )


def write_module(
    card: Card,
    program: Program,
    parts: Sequence[Part],
    vocabulary: Vocabulary,
    use: str,
    imports: str,
    definitions: Iterable[str],
) -> str:
    """Returns the source of a module.

    Args:
        card: what the docstring tells of the rule.
        program: the program, shown in the docstring where the card has no formulas.
        parts: the same as it is written.
        vocabulary: the primitives it uses.
        use: how to use the module.
        imports: its imports.
        definitions: its functions and classes.
    """
    program = readable_program(parts[0].rule) if len(parts) == 1 else program
    shown = card.mathematics.strip() or render(program, vocabulary)
    texts = [card.heading, indent(shown.rstrip(), "    "), use.strip()]
    texts += [_wrap(text) for text in (card.advice, card.source and f"Source: {card.source}") if text]
    text = "\n\n".join(texts)
    return "\n\n\n".join((f'"""{text}\n"""\n\n{imports}', *definitions)) + "\n"


def parameters(card: Card, parts: Sequence[Part]) -> list[HyperParameter]:
    """Returns the hyper-parameters that a rule uses."""
    return [parameter for parameter in card.hyperparameters if uses(parts, parameter.name)]


def defaults(card: Card, parts: Sequence[Part]) -> list[str]:
    """Returns the source of the hyper-parameters in a function's header."""
    return [f"{one.name}: float = {number(one.default or 0.0)}" for one in parameters(card, parts)]


def arguments(card: Card, parts: Sequence[Part], indentation: str) -> list[str]:
    """Returns the lines that describe the hyper-parameters in a docstring."""
    return [
        line
        for parameter in parameters(card, parts)
        for line in wrap(
            f"{parameter.name}: {parameter.doc}, in {parameter.range}.",
            WIDTH,
            initial_indent=indentation,
            subsequent_indent=f"{indentation}    ",
        )
    ]


def wanted(parts: Sequence[Part], indentation: str) -> list[str]:
    """Returns the lines that describe what a rule asks its user for in a docstring."""
    what = {
        "value": "the loss that the gradient is of",
        "noise": "standard normal numbers, fresh at every step, in arrays like the gradient",
        "hessian_diagonal": "an estimate of the diagonal of the loss's Hessian, in arrays like the gradient",
    }
    return [f"{indentation}{name}: {what[name]}." for name in asked(parts)]


def state_name(card: Card, label: str) -> str:
    """Returns the name of the class that holds the state of a part."""
    return f"{class_name(card)}{label.capitalize()}State"


def class_name(card: Card) -> str:
    """Returns the name of a rule's class: its title where that is its name (`AdamW`), else `HeavyBall`."""
    if card.title.isidentifier() and card.title.lower() == card.name.replace("_", "").lower():
        return card.title
    return "".join(part.capitalize() for part in card.name.split("_"))


def header(start: str, given: Sequence[str], result: str, indentation: str = "") -> list[str]:
    """Returns the lines of a function's header, one argument a line where they don't fit on one."""
    line = f"{indentation}{start}({', '.join(given)}) -> {result}:"
    if len(line) <= WIDTH:
        return [line]
    return [
        f"{indentation}{start}(",
        *(f"{indentation}    {one}," for one in given),
        f"{indentation}) -> {result}:",
    ]


def call(start: str, function: str, fields: Sequence[str]) -> list[str]:
    """Returns the lines of a statement that is a call, one argument a line where it has several."""
    if len(fields) < 2:
        return [f"{start}{function}({''.join(fields)})"]
    indentation = start[: len(start) - len(start.lstrip())]
    return [f"{start}{function}(", *(f"{indentation}    {field}," for field in fields), f"{indentation})"]


def _wrap(text: str) -> str:
    return "\n".join(wrap(" ".join(text.split()), WIDTH))
