"""The body of an update rule as loops over parameter tensors: what Python-like targets share.

A TENSOR or LEAF value is one variable inside a loop and a list with one item a tensor outside; a SCALAR is a plain
variable. A primitive that sees the whole model becomes a function of its own on flat vectors.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from primitives.emit.naming import RESERVED, free
from primitives.emit.readable import Line, Rule
from primitives.kinds import LEAF, SCALAR, TENSOR, Kind
from primitives.primitive import Primitive, Scope, Vocabulary

WIDTH = 120
"""Longest line, as `ruff format` wraps it."""
_SHAPE = "shape"
"""Name of a tensor in a loop that only shows its shape."""
_CALLS = ("flat", "split", "spread")
"""Functions that the body may call and the module defines, in the order of `Body.calls`."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one target spells what differs.

    Args:
        xp: name of the array module.
        scalar: makes source for a 0-d value of the right type from source for a number.
        trees: source of the list of tensors of every TENSOR input, by name.
        state: source of the list of tensors of a state variable, by name.
        number: source of a state variable that is one number for the model.
        like: the data input whose tensors show the shapes (the gradient).
        full: makes source for a tensor like another, every entry the same, from the sources of both.
        fuse: joins lines of a loop where the target has one call for several, given how often each value is used.
        spell: source of a line's right-hand side where the target has a way of its own, given the sources of its
            arguments, the name of a tensor that the result may be written into, and that of one of the arguments that
            nothing needs any more; None where it has none.
        frees: whether a round of a loop gives its memory back, so that the next one finds it in the cache.
    """

    xp: str
    scalar: Callable[[str], str]
    trees: Mapping[str, str]
    state: Callable[[str], str]
    number: Callable[[str], str]
    like: str
    full: Callable[[str, str], str]
    fuse: Callable[[list[Line], Mapping[int, int]], list[Line]] = lambda lines, uses: lines
    spell: Callable[[Line, Sequence[str], str | None, str | None], str | None] = lambda line, args, into, spare: None
    frees: bool = False

    def template(self, primitive: Primitive, bare: bool = False) -> str:
        """Returns how the target spells a primitive; `bare` leaves out what guards against negative values."""
        template = primitive.unguarded[1] if bare and primitive.unguarded is not None else primitive.python
        if self.xp != "torch":
            return template
        if primitive.torch is not None:
            return primitive.torch
        return template.replace("{xp}.power(", "torch.pow(")


@dataclass(frozen=True, slots=True)
class Body:
    """Source of a rule's body, and what it needs.

    Args:
        lines: source lines without indentation of their own.
        output: source of the list of outputs, one a tensor; empty where the rule has none.
        state: source of the next values of each state variable, by name: a list, or (SCALAR) one number.
        calls: which of `flat`, `split` and `spread` it calls.
        functions: primitives that need a function of their own.
    """

    lines: tuple[str, ...]
    output: str
    state: Mapping[str, str]
    calls: tuple[str, ...]
    functions: tuple[Primitive, ...]


def write_body(rule: Rule, vocabulary: Vocabulary, dialect: Dialect) -> Body:
    """Writes the body of a rule: lists of tensors first, then operations stage by stage."""
    return _Writer(rule, vocabulary, dialect).body()


class _Writer:
    def __init__(self, rule: Rule, vocabulary: Vocabulary, dialect: Dialect) -> None:
        self.rule, self.vocabulary, self.dialect = rule, vocabulary, dialect
        self.source: list[str] = []
        self.lists: dict[int, str] = {}  # reference of a TENSOR or LEAF value -> name of its list
        self.taken = {*RESERVED, *rule.names.values()}
        self.calls: set[str] = set()
        self._shapes: str | None = None
        self.functions: dict[str, Primitive] = {}

    @property
    def shapes(self) -> str:
        """Name of the list of tensors that show the shapes, defined at first use."""
        like = self.dialect.like
        for ref, name in self.lists.items():
            if self.rule.names[ref] == like and ref < len(self.rule.graph.inputs):
                return name
        if self._shapes is None:
            self._shapes = self._new(f"all_{like}")
            self.source.insert(0, f"{self._shapes} = {self.dialect.trees[like]}")
        return self._shapes

    def body(self) -> Body:
        rule, graph, dialect = self.rule, self.rule.graph, self.dialect
        for ref in range(len(graph.inputs) + len(graph.state)):
            name = rule.names[ref]
            if ref >= len(graph.inputs) and graph.kinds[ref] is SCALAR:
                self.source.append(f"{name} = {dialect.number(name)}")
            elif ref >= len(graph.inputs):
                self._list(ref, name, dialect.state(name))
            elif name in dialect.trees:
                self._list(ref, name, dialect.trees[name])
        self.needed_by = self._needs()
        self.uses = Counter(ref for line in rule.lines for ref in line.refs)
        self.uses.update((*graph.outputs, *graph.next_state))
        for (stage, local), lines in groupby(rule.lines, key=lambda line: line.phase):
            if local:
                self._loop(stage, list(lines))
            else:
                for line in lines:
                    self._once(line)
        output = self._result(graph.outputs[0]) if graph.outputs else ""
        state = {
            name: self._number(ref) if kind is SCALAR else self._result(ref)
            for (name, _, ref), kind in zip(rule.state, graph.state_kinds, strict=True)
        }
        return Body(
            lines=tuple(self.source),
            output=output,
            state=state,
            calls=tuple(call for call in _CALLS if call in self.calls),
            functions=tuple(self.functions.values()),
        )

    def _new(self, name: str) -> str:
        """A name for a list that nothing else has."""
        unused = free(name, self.taken)
        self.taken.add(unused)
        return unused

    def _list(self, ref: int, name: str, value: str) -> str:
        self.lists[ref] = self._new(f"all_{name}")
        self.source.append(f"{self.lists[ref]} = {value}")
        return self.lists[ref]

    def _needs(self) -> dict[int, set[tuple[int, bool]]]:
        """The phases that read each value; (-1, False) is the end."""
        needs: dict[int, set[tuple[int, bool]]] = {}
        for line in self.rule.lines:
            for ref in line.refs:
                needs.setdefault(ref, set()).add(line.phase)
        for ref in (*self.rule.graph.outputs, *self.rule.graph.next_state):
            needs.setdefault(ref, set()).add((-1, False))
        return needs

    def _result(self, ref: int) -> str:
        return self.lists[ref] if ref in self.lists else f"[{self._number(ref)}] * len({self.shapes})"

    def _number(self, ref: int) -> str:
        constant = self.rule.constant(ref)
        return self.rule.names[ref] if constant is None else number(constant)

    # --- one loop over the tensors ---------------------------------------------------------------------------------

    def _loop(self, stage: int, lines: list[Line]) -> None:
        rule, names = self.rule, self.rule.names
        lines = self.dialect.fuse(lines, self.uses)
        read = dict.fromkeys(ref for line in lines for ref in line.refs if ref in self.lists)
        collected = [r for r in dict.fromkeys(line.ref for line in lines) if self.needed_by[r] - {(stage, True)}]
        next_of = {ref: name for name, _, ref in rule.state}
        lists = {r: self._new(f"next_{next_of[r]}" if r in next_of else f"all_{names[r]}") for r in collected}
        self.source += [f"{name} = []" for name in lists.values()]
        sources, targets = [self.lists[r] for r in read], [names[r] for r in read]
        seen = [line for line in lines if line.op in self.vocabulary and self.vocabulary[line.op].scope is Scope.LEAF]
        if any(self._shape(line) == _SHAPE and TENSOR in self._arriving(line) for line in seen):
            sources.append(self.shapes)
            targets.append(_SHAPE)
        header = f"for {', '.join(targets)} in zip({', '.join(sources)}, strict=True):"
        if len(sources) == 1:
            header = f"for {targets[0]} in {sources[0]}:"
        if len(header) > WIDTH - 8:
            self.source.append(f"for index in range(len({self.shapes})):")
            self.source += [f"    {t} = {s}[index]" for t, s in zip(targets, sources, strict=True)]
        else:
            self.source.append(header)
        old = {ref: held for _, held, ref in rule.state}
        overwritten = {  # where the loop has the old value at hand
            next_of[r]: r for r in collected if r in next_of and rule.graph.kinds[r] is TENSOR and old[r] in read
        }
        spare = self._spare(lines, {*collected})
        for line in lines:
            into = line.target if overwritten.get(line.target) == line.ref else spare.get(line.ref)
            overwritten.pop(line.target, None)  # from here on the name is another tensor's
            self.source += [f"    {source}" for source in self._assignment(line, into, spare.get(line.ref))]
        self.source += [f"    {name}.append({names[r]})" for r, name in lists.items()]
        self.source += self._freed(lines, {*targets, *(names[r] for r in lists)}) if self.dialect.frees else []
        self.lists.update(lists)

    def _freed(self, lines: Sequence[Line], kept: set[str]) -> list[str]:
        """Lines that let go of what was computed for one tensor, before the next one needs as much."""
        small = (SCALAR, LEAF)
        done = dict.fromkeys(line.target for line in lines if self.rule.graph.kinds[line.ref] not in small)
        done = [name for name in done if name not in kept]
        return [f"    del {names.rstrip(',')}" for names in wrap(", ".join(done), WIDTH - 16)]

    def _spare(self, lines: Sequence[Line], collected: set[int]) -> dict[int, str]:
        """Returns for values the name of a tensor that nothing needs any more, into which they may be written.

        Such a tensor was made by an element-wise operation of the same loop, so that nothing else shares its memory.
        """
        kinds = self.rule.graph.kinds
        if not {*kinds} <= {SCALAR, LEAF, TENSOR}:  # arrays of other shapes may be of another type
            return {}
        last = {ref: position for position, line in enumerate(lines) for ref in line.refs}
        owned: set[int] = set()
        spare: dict[int, str] = {}
        for position, line in enumerate(lines):
            known = self.vocabulary.get(line.op)
            if kinds[line.ref] is not TENSOR or (known is not None and known.scope is not Scope.ELEMENT):
                continue
            free = [a for a, ref in zip(line.args, line.refs, strict=True) if ref in owned and last[ref] == position]
            if free and isinstance(free[0], str):
                spare[line.ref] = free[0]
            if line.ref not in collected:
                owned.add(line.ref)
        return spare

    def _assignment(self, line: Line, into: str | None = None, spare: str | None = None) -> list[str]:
        """An assignment; constants get a line of their own where it would become too long."""
        args = [arg if isinstance(arg, str) else _operand(arg) for arg in line.args]
        before = []
        if line.args and all(isinstance(arg, float) for arg in line.args):
            args = [self.dialect.scalar(arg) for arg in args]  # plain Python numbers raise where arrays give inf
        source = f"{line.target} = {self._expression(line, args, into, spare)}"
        if len(source) > WIDTH - 12:
            for i, arg in enumerate(line.args):
                if isinstance(arg, float):
                    name = self._new("constant")
                    before.append(f"{name} = {args[i]}")
                    args[i] = name
            source = f"{line.target} = {self._expression(line, args, into, spare)}"
        return [*before, source]

    def _expression(self, line: Line, args: list[str], into: str | None, spare: str | None) -> str:
        spelled = self.dialect.spell(line, args, into, spare)
        if spelled is not None:
            return spelled
        primitive = self.vocabulary[line.op]
        if primitive.scope is Scope.LEAF:
            shape, arriving = self._shape(line), self._arriving(line)
            args = [
                self.dialect.full(shape, str(arg))
                if kind is TENSOR and self.rule.graph.kinds[ref] is not TENSOR
                else arg
                for arg, ref, kind in zip(args, line.refs, arriving, strict=True)
            ]
        template = self.dialect.template(primitive, line.bare)
        if not template:
            self.functions[primitive.name] = primitive
            given = [  # between commas a negative number needs no parentheses
                number(arg) if isinstance(arg, float) and source == _operand(arg) else source
                for arg, source in zip(line.args, args, strict=True)
            ]
            return f"{primitive.name}({', '.join(given)})"
        source = template.format(*args, xp=self.dialect.xp)
        return source if line.args else self.dialect.scalar(source)

    def _arriving(self, line: Line) -> tuple[Kind, ...]:
        return self.vocabulary[line.op].arriving(tuple(self.rule.graph.kinds[ref] for ref in line.refs))

    def _shape(self, line: Line) -> str:
        """Name of a tensor with the shape that arguments are lifted to."""
        names = [
            arg
            for arg, ref in zip(line.args, line.refs, strict=True)
            if isinstance(arg, str) and self.rule.graph.kinds[ref] is TENSOR
        ]
        return names[0] if names else _SHAPE

    # --- once for the model ----------------------------------------------------------------------------------------

    def _once(self, line: Line) -> None:
        primitive = self.vocabulary[line.op]
        if primitive.scope is not Scope.MODEL:
            self.source += self._assignment(line)
            return
        self.functions[primitive.name] = primitive
        kinds = [self.rule.graph.kinds[ref] for ref in line.refs]
        arriving = primitive.arriving(tuple(kinds))
        beside = {kind: self.lists[ref] for ref, kind in zip(line.refs, kinds, strict=True) if kind is not SCALAR}
        args = [
            self._flat(ref, arg, have, kind, beside.get(kind))
            for ref, arg, have, kind in zip(line.refs, line.args, kinds, arriving, strict=True)
        ]
        call = f"{primitive.name}({', '.join(args)})"
        if self.rule.graph.kinds[line.ref] == SCALAR:
            self.source.append(f"{line.target} = {call}")
            return
        self.calls.add("split")
        shapes = beside.get(self.rule.graph.kinds[line.ref]) or self.shapes
        self._list(line.ref, line.target, f"split({call}, {shapes})")

    def _flat(self, ref: int, arg: str | float, have: Kind, kind: Kind, shapes: str | None) -> str:
        """Source of an argument as a flat vector of the kind that the primitive sees, in the shapes of a list."""
        source = arg if isinstance(arg, str) else _operand(arg)
        if kind == SCALAR:
            return source if isinstance(arg, str) else self.dialect.scalar(source)
        self.calls.add("flat")
        if have == SCALAR and kind == LEAF:
            return f"flat([{source}] * len({self.shapes}))"
        if have == kind:
            return f"flat({self.lists[ref]})"
        self.calls.add("spread")
        shapes = shapes or self.shapes
        values = f"[{source}] * len({shapes})" if have is SCALAR else self.lists[ref]
        return f"flat(spread({values}, {shapes}))"


def number(value: float) -> str:
    """Returns the source of a number, as `ruff format` writes it."""
    return repr(float(value)).replace("e+", "e")


def _operand(value: float) -> str:
    """Source of a constant; a negative one in parentheses, for templates such as `{0}**2`."""
    source = number(value)
    return f"({source})" if source[0] == "-" else source
