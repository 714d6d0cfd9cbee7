"""A module of source around the body of an update rule: what Python-like targets share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from textwrap import indent, wrap

from primitives.card import TEXTS, Card, HyperParameter, Interval
from primitives.emit.loops import WIDTH, Body, Dialect
from primitives.emit.naming import RESERVED
from primitives.emit.readable import Rule, readable, readable_program
from primitives.graph import check_kinds
from primitives.kinds import TENSOR
from primitives.primitive import Primitive, Scope, Vocabulary
from primitives.program import Program, ProgramError, with_open
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


def read_rule(program: Program, vocabulary: Vocabulary, card: Card, dtype: str) -> Rule:
    """Returns an update rule ready to be written as an optimizer, its hyper-parameters as inputs.

    Args:
        program: any valid update rule.
        vocabulary: the primitives it uses.
        card: its name, learning rate and hyper-parameters.
        dtype: type of the program's constants.

    Raises:
        ProgramError: the program is not valid; inputs other than w, g, lr and t, state that is not TENSOR, not
            exactly one output, or a hyper-parameter that is no named constant.
        ValueError: the name is no identifier, or one that the source uses itself.
    """
    name, own = card.name, [parameter.name for parameter in card.hyperparameters]
    check_kinds(program, vocabulary)  # as it stands too: a hyper-parameter has its value before it is used
    program = with_open(program, own)
    operations = {s.op: vocabulary[s.op] for s in program.statements if s.op in vocabulary}
    functions = [operation.name for operation in operations.values() if operation.scope is Scope.MODEL]
    derived = {class_name(card), f"{class_name(card)}State", f"{name}_step"}
    for parameter in own:
        if parameter in {*RESERVED, *functions, *derived, *(f"{state}_state" for state in program.signature.state)}:
            raise ValueError(f"a hyper-parameter must have a name of its own, got {parameter!r}; rename it")
    if not name.isidentifier() or not name.isascii() or {name, *derived} & {*RESERVED, *functions}:
        raise ValueError(f"a rule must be named by a free Python identifier, got {name!r}; choose another name")
    ranges = {parameter.name: parameter.range for parameter in card.hyperparameters}
    ranges |= {"lr": card.learning_rate.range, "t": Interval(1.0, low_open=False)}
    rule = readable(program, vocabulary, dtype, [name, *derived, *functions], ranges)
    data = [rule.names[ref] for ref in range(len(rule.graph.inputs))]
    if not set(data) <= {"w", "g", "lr", "t", *own} or len(rule.output) != 1:
        raise ProgramError(
            f"only an update rule with inputs among w, g, lr, t and one output can be written as an optimizer, "
            f"got inputs {', '.join(data)} and outputs {', '.join(rule.output)}; export it as text"
        )
    if any(kind != TENSOR for kind in rule.graph.state_kinds):
        raise ProgramError("the state of an optimizer must be TENSOR; export the program as text")
    return rule


def plain(card: Card) -> Card:
    """Returns a card whose texts can stand in docstrings: what would end one, or escape a letter, is not in them."""

    def text(words: str) -> str:
        return words.replace("\\", "/").replace('"', "'")

    return replace(
        card,
        **{field: text(getattr(card, field)) for field in TEXTS},
        hyperparameters=tuple(replace(one, doc=text(one.doc)) for one in card.hyperparameters),
    )


def write_model_side(body: Body, dialect: Dialect, shared: Mapping[str, str] = _MODEL_SIDE) -> list[str]:
    """Returns the source of the functions on flat vectors that a body calls."""
    written = [shared[call].format(xp=dialect.xp) for call in body.calls]
    return written + [_write_primitive(primitive, dialect) for primitive in body.models]


def _write_primitive(primitive: Primitive, dialect: Dialect) -> str:
    names = list(signature(primitive.fn).parameters)[1:]
    return (
        f"def {primitive.name}({', '.join(f'{name}: Any' for name in names)}) -> Any:\n"
        f'    """Returns {primitive.doc}."""\n'
        f"    return {dialect.template(primitive).format(*names, xp=dialect.xp)}"
    )


def write_module(
    card: Card, rule: Rule, vocabulary: Vocabulary, use: str, imports: str, definitions: Iterable[str]
) -> str:
    """Returns the source of a module.

    Args:
        card: what the docstring tells of the rule.
        rule: the rule, shown in the docstring as a program where the card has no formulas.
        vocabulary: the primitives it uses.
        use: how to use the module.
        imports: its imports.
        definitions: its functions and classes.
    """
    shown = card.mathematics.strip() or render(readable_program(rule), vocabulary)
    parts = [card.heading, indent(shown.rstrip(), "    "), use.strip()]
    parts += [_wrap(text) for text in (card.advice, card.source and f"Source: {card.source}") if text]
    text = "\n\n".join(parts)
    return "\n\n\n".join((f'"""{text}\n"""\n\n{imports}', *definitions)) + "\n"


def parameters(card: Card, rule: Rule) -> list[HyperParameter]:
    """Returns the hyper-parameters that a rule uses."""
    return [parameter for parameter in card.hyperparameters if parameter.name in rule.graph.inputs]


def arguments(card: Card, rule: Rule, indentation: str) -> list[str]:
    """Returns the lines that describe the hyper-parameters in a docstring."""
    return [
        line
        for parameter in parameters(card, rule)
        for line in wrap(
            f"{parameter.name}: {parameter.doc}, in {parameter.range}.",
            WIDTH,
            initial_indent=indentation,
            subsequent_indent=f"{indentation}    ",
        )
    ]


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


def _wrap(text: str) -> str:
    return "\n".join(wrap(" ".join(text.split()), WIDTH))
