r"""A document in LaTeX: one step of a rule as formulas, its hyper-parameters, where it comes from.

Formulas say what a rule means over the real numbers. A value that is used once stands in the formula that uses it as
long as that can be read; the others are assigned to first. State changes in place, `m \leftarrow ...`: what needs the
old value comes before, and where that can't be the new value waits under a name of its own.
"""

import re
from collections import Counter
from dataclasses import dataclass
from inspect import signature
from itertools import count
from math import inf

from primitives.card import Card, Interval
from primitives.emit.formula import Algebra, Formula, number, numeral, symbol
from primitives.emit.module import parameters, read_parts
from primitives.emit.parts import Part
from primitives.emit.readable import Line, Rule
from primitives.emit.symbols import Symbols, escape, usual, width
from primitives.kinds import TENSOR
from primitives.primitive import Scope, Vocabulary
from primitives.program import Program

_TOKEN = re.compile(r"@(\d+)@")
"""Stands for the symbol of a value in formulas until all symbols are known."""
_GIVEN = {
    "w": "parameters",
    "g": "gradient",
    "lr": "learning rate",
    "t": "number of the step (from 1)",
    "value": "loss",
    "noise": "standard normal noise",
    "hessian_diagonal": "diagonal of the Hessian",
}
"""What every rule may read."""


def emit_latex(program: Program, vocabulary: Vocabulary, card: Card, dtype: str = "float32") -> str:
    """Returns a document with one step of a rule in an `align*` environment.

    Args:
        program: any valid update rule; what is written is its canonical form.
        vocabulary: the primitives it uses.
        card: its title, summary, source, learning rate and hyper-parameters.
        dtype: type of the program's constants.

    Raises:
        ProgramError: the program is not valid, or no update rule.
        ValueError: the name is no identifier.
    """
    parts = read_parts(program, vocabulary, card, dtype)
    cited = r"~\cite{source}" if card.source else ""
    blocks = "\n\n".join(_block(card, part, vocabulary) for part in parts)
    below = "\n\n".join(text for text in (escape(card.advice), _bibliography(card.source)) if text)
    return rf"""\documentclass{{article}}
\usepackage[T1]{{fontenc}}
\usepackage[margin=25mm]{{geometry}}
\usepackage{{amsmath}}

\title{{{escape(card.title or card.name)}}}
\author{{}}
\date{{}}
\setlength{{\parindent}}{{0pt}}

\begin{{document}}
\maketitle

{escape(card.summary[:1].upper() + card.summary[1:])}{cited}. One step{_OF[parts[0].label]}:
{blocks}

{below}

\end{{document}}
"""


_OF = {
    "": "",
    "matrix": " of a matrix",
    "wide": " of a matrix with at most as many rows as columns",
    "tall": " of a matrix with more rows than columns",
    "other": " of a tensor that is no matrix",
}
"""What a part of a rule is for, by its label."""


def _block(card: Card, part: Part, vocabulary: Vocabulary) -> str:
    """The formulas of a part, and what their symbols mean."""
    rule, step = part.rule, _Step(part.rule, vocabulary)
    align = f"\\begin{{align*}}\n{step.source()}\n\\end{{align*}}"
    before = f"One step{_OF[part.label]}:\n" if part.label in ("tall", "other") else ""
    texts = [before + align, _legend(rule, step, vocabulary), _meanings(rule, vocabulary), _table(card, part, step)]
    return "\n\n".join(text for text in texts if text)


@dataclass
class _Statement:
    """One assignment.

    Args:
        ref: the value that it gives a symbol to.
        formula: what is assigned.
        position: where it stands among others, if it can.
        over: reference of the old value that it overwrites, None where the symbol is new.
    """

    ref: int
    formula: Formula
    position: float
    over: int | None = None

    @property
    def reads(self) -> set[int]:
        return {int(ref) for ref in _TOKEN.findall(self.formula.text)}


class _Step:
    """The assignments of one step."""

    def __init__(self, rule: Rule, vocabulary: Vocabulary) -> None:
        self.rule, self.graph, self.names = rule, rule.graph, dict(rule.names)
        self.algebra, self.symbols = Algebra(vocabulary), Symbols()
        self.unused = count(len(self.graph.kinds))
        self.uses = Counter(ref for line in rule.lines for ref in line.refs)
        self.uses.update((*self.graph.outputs, *self.graph.next_state))
        self.place = {line.ref: position for position, line in enumerate(rule.lines)}
        self.formulas: dict[int, Formula] = {}  # of values that no symbol stands for
        self.statements: list[_Statement] = []
        self.written: dict[int, str] = {}  # symbols
        inputs = self.graph.inputs
        self.w = inputs.index("w") if "w" in inputs else next(self.unused)
        self.names[self.w] = "w"
        self.kept = {ref for _, old, new in rule.state for ref in (old, new) if ref >= len(inputs)}
        given = {name: self.symbols.new(name) for name in _GIVEN}  # also where the rule does not read them
        for ref in (self.w, *range(len(inputs) + len(self.graph.state))):
            name = self.names[ref]
            self.written[ref] = given[name] if name in given else self.symbols.new(name)
        for line in rule.lines:
            self._line(line)
        self._changes()
        self._order()

    def _name(self, ref: int) -> None:
        name = self.names[ref]
        base = re.sub(r"_\d+$", "", name)  # lr_2 is another value of lr, if there is an lr
        self.written[ref] = self.symbols.new(base if base in self.rule.names.values() else name)

    # --- formulas ---------------------------------------------------------------------------------------------------

    def _line(self, line: Line) -> None:
        """Makes the formula of an operation, and assignments of what it can't hold."""
        kind = self.graph.kinds[line.ref]
        while True:
            args = [
                self._read(ref) if isinstance(arg, str) else number(arg)
                for ref, arg in zip(line.refs, line.args, strict=True)
            ]
            formula = self.algebra.apply(line.op, args, kind, line.bare)
            long = [ref for ref in line.refs if ref in self.formulas and not self.formulas[ref].short]
            if formula.fits or not long:
                break
            self._assign(max(long, key=lambda ref: (self.formulas[ref].tall, self.formulas[ref].width)))
        self.formulas[line.ref] = formula
        alone = r"\begin" in formula.text or line.ref in self.graph.next_state
        if alone or (self.uses[line.ref] > 1 and not formula.short):
            self._assign(line.ref)

    def _read(self, ref: int) -> Formula:
        """A value as it stands in a formula."""
        constant = self.rule.constant(ref)
        if constant is not None:
            return number(constant)
        if ref in self.formulas:
            return self.formulas[ref]
        kind = self.graph.kinds[ref] if ref < len(self.graph.kinds) else TENSOR
        order = -1 if ref in self.kept else 1 if ref == self.w else 0
        return symbol(f"@{ref}@", kind, width(usual(self.names[ref])), order)

    def _assign(self, ref: int) -> None:
        self.statements.append(_Statement(ref, self.formulas.pop(ref), self.place[ref]))

    # --- order ------------------------------------------------------------------------------------------------------

    def _changes(self) -> None:
        """Adds what changes the state and the parameters."""
        end, output = len(self.place), self.graph.outputs[0]
        difference = self._difference(output)
        if not difference.fits and output in self.formulas:
            self._assign(output)
            difference = self._difference(output)
        self._copy(self.w, difference, self.place.get(output, end) + 0.5)
        assigned = {statement.ref: statement for statement in self.statements}
        for _, old, new in self.rule.state:
            if new in assigned and assigned[new].over is None:
                assigned[new].over = old
            elif new != old:
                self._copy(old, self._read(new), end)

    def _difference(self, output: int) -> Formula:
        return self.algebra.apply("subtract", (self._read(self.w), self._read(output)), TENSOR)

    def _copy(self, over: int, formula: Formula, position: float) -> None:
        ref = next(self.unused)
        self.names[ref] = self.names[over]
        self.statements.append(_Statement(ref, formula, position, over))

    def _order(self) -> None:
        """Puts assignments after what they read, and after all that reads what they overwrite; then names are given."""
        waiting, self.statements = sorted(self.statements, key=lambda one: one.position), []
        while waiting:
            pending = {statement.ref for statement in waiting}
            known = [one for one in waiting if not one.reads & pending]
            chosen = next((one for one in known if not any(one.over in o.reads for o in waiting if o is not one)), None)
            if chosen is None:  # the old value is needed beside the new one
                chosen, copy = known[0], next(self.unused)
                self.names[copy] = self.names[chosen.ref]
                waiting.append(_Statement(copy, self._read(chosen.ref), inf, chosen.over))
                chosen.over = None
            waiting.remove(chosen)
            self.statements.append(chosen)
            if chosen.over is None:
                self._name(chosen.ref)
            else:
                self.written[chosen.ref] = self.written[chosen.over]

    # --- text -------------------------------------------------------------------------------------------------------

    def source(self) -> str:
        """Returns the lines of the `align*` environment."""
        lines = []
        for statement in self.statements:
            arrow = "=" if statement.over is None else r"\leftarrow"
            text = _TOKEN.sub(lambda found: self.written[int(found[1])], statement.formula.text)
            lines.append(f"  {self.written[statement.ref]} &{arrow} {_spaced(text)}")
        return " \\\\\n".join(lines)


def _spaced(text: str) -> str:
    r"""Keeps factors apart that would run into each other: `2 \cdot 3`, upright words by a thin space."""
    beside = r"(?<![-+,&=\\])(?<! >)(?<!\\cdot)"
    text = re.sub(rf"{beside} (?=\d)", r" \\cdot ", text)
    word = r"\\mathrm\{(?:[^{}]|\\_)*\}(?:_\{\d*\})?'*"
    text = re.sub(rf"{beside} (?={word})", r" \\, ", text)
    return re.sub(rf"({word}) (?=[A-Za-z]|\\(?!cdot|right|[,&\\]))", r"\1 \\, ", text)


# --- around the formulas ----------------------------------------------------------------------------------------------


def _legend(rule: Rule, step: _Step, vocabulary: Vocabulary) -> str:
    """What the symbols are that every rule may use, and the state."""
    read = {step.names[ref]: ref for ref in (step.w, *range(len(rule.graph.inputs)))}
    told = [f"{meaning} ${step.written[read[name]]}$" for name, meaning in _GIVEN.items() if name in read]
    state = [
        f"${step.written[old]}$" for (_, old, _), first in zip(rule.state, rule.initial, strict=True) if first == 0.0
    ]
    if state:
        told.append(f"state {' and '.join(state)}, zero before the first step")
    for (_, old, _), first in zip(rule.state, rule.initial, strict=True):
        if first != 0.0:
            value = step.written[step.w] if isinstance(first, str) else numeral(first)
            told.append(f"state ${step.written[old]}$, before the first step ${value}$")
    but = ", but for those that are explained" if any(vocabulary[line.op].axes for line in rule.lines) else ""
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}. Products, quotients and functions are taken entry by entry{but}."


def _meanings(rule: Rule, vocabulary: Vocabulary) -> str:
    """What the signs mean that see whole tensors."""
    algebra, told = Algebra(vocabulary), []
    for op in dict.fromkeys(line.op for line in rule.lines):
        primitive = vocabulary[op]
        if primitive.scope is not Scope.ELEMENT:
            names = list(signature(primitive.fn).parameters)[1:]
            sign = algebra.apply(op, [symbol(name, TENSOR, 1) for name in names], TENSOR)
            told.append(f"${sign.text}$: {escape(primitive.doc)}")
    return f"{'; '.join(told)}." if told else ""


def _table(card: Card, part: Part, step: _Step) -> str:
    """The learning rate and the hyper-parameters that the rule reads."""
    rule = part.rule
    symbols = {rule.names[ref]: step.written[ref] for ref in range(len(rule.graph.inputs))}
    rows = [
        (symbols[name], one.name, one.default, one.range, one.doc)
        for name, one in [("lr", card.learning_rate), *((one.name, one) for one in parameters(card, [part]))]
        if name in symbols
    ]
    if not rows:
        return ""
    lines = [
        rf"${sign}$ & \texttt{{{escape(name)}}} & {'--' if default is None else f'${numeral(default)}$'} "
        rf"& ${_interval(values)}$ & {escape(doc)} \\"
        for sign, name, default, values, doc in rows
    ]
    head = r"& name & default & range & \\"
    return "\n".join(
        [r"\begin{center}", r"\begin{tabular}{llllp{65mm}}", head, r"\hline", *lines, r"\end{tabular}", r"\end{center}"]
    )


def _interval(values: Interval) -> str:
    low, high = "(" if values.low_open else "[", ")" if values.high_open else "]"
    return f"{low}{numeral(values.low)}, {numeral(values.high)}{high}"


def _bibliography(source: str) -> str:
    if not source:
        return ""
    return f"\\begin{{thebibliography}}{{1}}\n\\bibitem{{source}}\n{escape(source)}.\n\\end{{thebibliography}}"
