"""A `torch.optim.Optimizer`: one module that needs only PyTorch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite

from primitives.card import Card, HyperParameter
from primitives.emit.loops import Body, Dialect, number, write_body
from primitives.emit.module import (
    MORE,
    arguments,
    asked,
    begins,
    class_name,
    header,
    parameters,
    plain,
    read_parts,
    shape_of,
    small_kinds,
    uses,
    write_functions,
    write_module,
)
from primitives.emit.parts import Part
from primitives.emit.readable import Line, Rule
from primitives.kinds import LEAF, SCALAR, TENSOR, Kind
from primitives.primitive import Scope, Vocabulary
from primitives.program import Program

_IMPORTS = """from collections.abc import Callable, Iterable
FUNCTOOLSfrom typing import Any

import torch
from torch import Tensor"""

_MODEL_SIDE = {
    "flat": '''\
def flat(tensors: list[Any]) -> Tensor:
    """Returns all entries as one vector."""
    return torch.cat([x.reshape(-1) for x in tensors])''',
    "split": '''\
def split(vector: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """Cuts a vector into pieces with the shapes of `tensors`."""
    pieces = vector.split([x.numel() for x in tensors])
    return [piece.reshape(x.shape) for piece, x in zip(pieces, tensors, strict=True)]''',
    "spread": '''\
def spread(values: list[Any], tensors: list[Tensor]) -> list[Tensor]:
    """Repeats each value over the entries of its tensor."""
    return [torch.zeros_like(x) + value for x, value in zip(tensors, values, strict=True)]''',
}

_USE = """As an optimizer of PyTorch:

    optimizer = CLASS(model.parameters()RATE)
    loss.backward()
    optimizer.step()
"""

_WRITE = '''\
def write(lists: list[list[Tensor]], results: list[list[Any]]) -> None:
    """Subtracts the updates from the parameters and gives the state its next values; `lists` begins with gradients."""
    held = {id(x) for tensors in lists[1:] for x in tensors}
    updates, *following = results
    states = [
        # what is about to be overwritten is needed as it was
        [(old, new.clone() if id(new) in held else new) for old, new in zip(*both, strict=True) if new is not old]
        for both in zip(lists[2:], following, strict=True)
    ]
    for w, update in zip(lists[1], updates, strict=True):
        w.sub_(update)
    for pairs in states:
        for old, new in pairs:
            old.copy_(torch.as_tensor(new, dtype=old.dtype))'''

_LAYOUT = '''\
def layout(x: Tensor) -> Tensor:
    """Returns a view with inputs before outputs: the matrix of a layer is (inputs, outputs) to the rule."""
    return x.permute(*range(2, x.ndim), 1, 0) if x.ndim > 1 else x'''

_FULL = '''\
def full(shape: tuple[int, ...], value: float, like: Tensor) -> Tensor:
    """Returns a tensor of one number, in single precision at least."""
    return like.new_full(shape, value, dtype=torch.promote_types(like.dtype, torch.float32))'''

_ADVANCE = '''\
PIECE = 1 << 18
"""Entries that the rule takes at a time on a CPU: what it computes between reading and writing stays in the cache."""


def advance(step: Callable[..., list[list[Any]]], lists: list[list[Tensor]], foreach: bool) -> None:
    """Takes a step on all tensors; every entry is updated by itself, so it does not matter how they are cut.

    With `foreach` the tensors of one device and type are joined (on a CPU the small ones), which costs a copy and saves
    the call of every operation for every tensor.
    """
    kinds: dict[Any, list[int]] = {}
    for index, x in enumerate(lists[0]):
        if foreach and (x.numel() < PIECE or x.device.type != "cpu"):
            kinds.setdefault((x.device, x.dtype), []).append(index)
    for kind in kinds.values():
        parts = [[tensors[i] for i in kind] for tensors in lists]
        joined = [[torch.cat([x.reshape(-1) for x in part])] for part in parts]
        write(joined, step(*joined))
        for part, (whole,) in zip(parts[1:], joined[1:], strict=True):
            cut = whole.split([x.numel() for x in part])
            for x, y in zip(part, cut, strict=True):
                x.copy_(y.view_as(x))
    done = {index for kind in kinds.values() for index in kind}
    for index, tensors in enumerate(zip(*lists, strict=True)):
        if index in done:
            continue
        whole = torch.compiler.is_compiling() or tensors[0].numel() <= PIECE or tensors[0].device.type != "cpu"
        if whole or not all(x.is_contiguous() for x in tensors):
            pieces = [[[x] for x in tensors]]
        else:
            pieces = [[[x] for x in piece] for piece in zip(*[x.view(-1).split(PIECE) for x in tensors], strict=True)]
        for piece in pieces:
            write(piece, step(*piece))'''


def emit_torch(program: Program, vocabulary: Vocabulary, card: Card, dtype: str = "float32") -> str:
    """Returns a module with a subclass of `torch.optim.Optimizer`, named as `class_name` says.

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
    pieces = [_piece(card, part, vocabulary) for part in read_parts(program, vocabulary, card, dtype)]
    parts = [piece.part for piece in pieces]
    definitions = [
        *write_functions([piece.body for piece in pieces], _dialect(parts[0].rule), _MODEL_SIDE),
        _WRITE,
        *([_LAYOUT] if any(piece.axes for piece in pieces) else []),
        *([_FULL] if any(small_kinds(part.rule) for part in parts) else []),
        *([_ADVANCE] if any(piece.alone for piece in pieces) else []),
        *(_step(piece) for piece in pieces),
        _class(card, pieces),
    ]
    rate = "" if card.learning_rate.default is not None else ", lr=1e-3"
    use = _USE.replace("CLASS", class_name(card)).replace("RATE", rate)
    functools = "from functools import partial\n" if any(piece.keywords for piece in pieces) else ""
    return write_module(card, program, parts, vocabulary, use, _IMPORTS.replace("FUNCTOOLS", functools), definitions)


def _dialect(rule: Rule) -> Dialect:
    return Dialect(
        xp="torch",
        scalar=lambda source: f"torch.tensor({source}, dtype=torch.float64)",
        trees={"w": "weights", "g": "grads", **{name: f"{name}_given" for name in MORE[1:]}},
        state=lambda variable: f"{variable}_state",
        number=lambda variable: f"{variable}_state",
        like="g",
        full=lambda like, value: f"torch.add(torch.zeros_like({like}), {value})",
        fuse=partial(_fuse, kinds=rule.graph.kinds),
        spell=partial(_spell, kinds=rule.graph.kinds),
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a rule and its source.

    Args:
        part: the part.
        body: source of its step.
        function: name of the function that takes it.
        alone: whether every entry is updated by itself.
        whole: whether it sees all tensors of a group together.
        scalars: numbers that it takes and only reads.
        lists: inputs beside the gradient that are lists of tensors.
        small: state variables that are one number for the model.
        axes: whether it sees the axes of tensors.
    """

    part: Part
    body: Body
    function: str
    alone: bool
    whole: bool
    scalars: tuple[str, ...]
    lists: tuple[str, ...]
    small: tuple[str, ...]
    axes: bool

    def seen(self, tensor: str) -> str:
        """Returns the source of a tensor as the rule sees it."""
        return f"layout({tensor})" if self.axes else tensor

    @property
    def states(self) -> list[tuple[str, Kind, float | str]]:
        """Name, kind and first value of the state variables that every tensor has, those like it first."""
        found = [one for one in begins(self.part.rule) if one[0] not in self.small]
        return sorted(found, key=lambda one: one[1] is not TENSOR)

    @property
    def keywords(self) -> bool:
        """Whether the step takes more than lists of tensors and state."""
        return bool(self.scalars or self.lists or self.small)

    @property
    def suffix(self) -> str:
        """What the part adds to names."""
        return f"_{self.part.label}" if self.part.label else ""


def _piece(card: Card, part: Part, vocabulary: Vocabulary) -> _Piece:
    graph = part.rule.graph
    scopes = {vocabulary[line.op].scope for line in part.rule.lines}
    small = tuple(name for name, kind, _ in begins(part.rule) if kind is SCALAR)
    lists = tuple(name for name in asked([part]) if name != "value")
    kinds = {*graph.kinds, *graph.state_kinds}
    numbers = [name for name in ("lr", "t", "value") if uses([part], name)]
    return _Piece(
        part=part,
        body=write_body(part.rule, vocabulary, _dialect(part.rule)),
        function=f"{card.name}_{part.label}_step" if part.label else f"{card.name}_step",
        alone=scopes <= {Scope.ELEMENT} and kinds <= {SCALAR, TENSOR} and not small and not lists,
        whole=bool(small) or Scope.MODEL in scopes,
        scalars=(*numbers, *(one.name for one in parameters(card, [part]))),
        lists=lists,
        small=small,
        axes=any(vocabulary[line.op].axes for line in part.rule.lines) or not kinds <= {SCALAR, LEAF, TENSOR},
    )


_FUSED = "addcmul"
"""Operation of a line `target = a + b * c`, with the arguments a, b, c."""
_NONZERO = {"divide": (1, "{0} / {1}"), "power": (0, "torch.pow({0}, {1})")}
"""Operations that guard against -0: which argument, and the call where that is a constant (0 has no guard anyway)."""
_CALLS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    _FUSED: "addcmul",
    "divide": "div",
    "sqrt": "sqrt",
    "square": "square",
    "negative": "neg",
    "abs": "abs",
}
"""What stands for an operation where the result is written into a tensor."""
_CHOICES = {"where": "> 0.0", "initial": "< 1.5"}
"""Operations that choose by a condition on their first argument."""
_GUARDED = ("divide", "sqrt")
"""Operations of these that have a guard, unless they are bare."""


def _fuse(lines: list[Line], uses: Mapping[int, int], kinds: Sequence[Kind]) -> list[Line]:
    """Joins a product of variables with the sum that alone uses it: one pass over memory instead of two.

    Where parameters are on a GPU, scalars stay on the CPU, and of the operands of `addcmul` only the last may be there.
    """
    fused: list[Line] = []
    for line in lines:
        joined = None
        for place, ref in enumerate(line.refs if line.op == "add" else ()):
            product = next((one for one in fused if one.ref == ref), None)
            other = line.args[1 - place]
            if product is None or product.op != "multiply" or uses[ref] != 1 or isinstance(other, float):
                continue
            if kinds[line.refs[1 - place]] is not TENSOR or kinds[product.refs[0]] is not TENSOR:
                continue
            since = {one.target for one in fused[fused.index(product) + 1 :]}
            if any(isinstance(arg, float) or arg in since for arg in product.args):
                continue
            joined = product
            refs = (line.refs[1 - place], *product.refs)
            line = line._replace(op=_FUSED, args=(other, *product.args), refs=refs)
            break
        if joined is not None:
            fused.remove(joined)
        fused.append(line)
    return fused


def _spell(line: Line, args: Sequence[str], into: str | None, spare: str | None, kinds: Sequence[Kind]) -> str | None:
    """Writes what PyTorch does in one call, and into the old value of state where that is free."""
    end = f", out={into})" if into is not None else ")"
    variables = [isinstance(arg, str) for arg in line.args]
    if line.op == "divide" and into is not None and variables == [True, False] and line.args[1] != 0.0:
        return f"torch.div({', '.join(args)}{end}"
    if line.op in _NONZERO and line.args and not variables[_NONZERO[line.op][0]]:
        return _NONZERO[line.op][1].format(*args)
    if line.op == "interpolate" and all(variables) and kinds[line.refs[0]] is kinds[line.refs[1]] is TENSOR:
        x, y, a = args
        share = f"torch.mul({x}, 1.0 - {a}, out={x})" if spare == x and x not in (y, a) else f"(1.0 - {a}) * {x}"
        return f"torch.addcmul({share}, {y}, {a}{end}"
    if line.op in _CHOICES and any(variables) and not variables[0]:  # a Python bool is no mask
        return f"torch.where(torch.tensor({args[0]} {_CHOICES[line.op]}), {args[1]}, {args[2]})"
    if (
        line.op in _CHOICES and variables[0] and not any(variables[1:])
    ):  # of two numbers PyTorch would make float32, whatever c is
        return f"torch.where({args[0]} {_CHOICES[line.op]}, torch.full_like({args[0]}, {args[1]}), {args[2]})"
    bare = line.bare or line.op not in _GUARDED
    if line.op == _FUSED or (into is not None and line.op in _CALLS and bare and variables[0]):
        return f"torch.{_CALLS[line.op]}({', '.join(args)}{end}"
    return None


def _step(piece: _Piece) -> str:
    states = [name for name, _, _ in piece.states]
    given = [f"{name}: list[Tensor]" for name in ("grads", "weights", *(f"{name}_state" for name in states))]
    more = [f"{name}: Tensor" for name in (*piece.scalars, *(f"{name}_state" for name in piece.small))]
    more += [f"{name}_given: list[Tensor]" for name in piece.lists]
    given += ["*", *more] if more else []
    results = f"[{', '.join([piece.body.output, *(piece.body.state[name] for name in states)])}]"
    gives, doc = "list[list[Any]]", "the state, which it may change in place"
    if piece.small:
        gives, doc = f"tuple[{gives}, list[Any]]", "the state: tensors, which it may change in place, and numbers"
        results += f", [{', '.join(piece.body.state[name] for name in piece.small)}]"
    return "\n".join(
        [
            *header(f"def {piece.function}", given, gives),
            f'    """Returns what to subtract from each tensor, and {doc}."""',
            *(f"    {line}" for line in piece.body.lines),
            f"    return {results}",
        ]
    )


def _class(card: Card, pieces: Sequence[_Piece]) -> str:
    lines = [*_constructor(card, pieces), "", *_step_method(card, pieces)]
    small = dict.fromkeys(name for piece in pieces for name, kind, _ in piece.states if kind is not TENSOR)
    if small:
        lines += ["", *_load_method([*small])]
    lines += ["", *_steps_of_group(card, pieces)]
    for piece in pieces:
        if piece.part.label:
            more = ", given: dict[str, Any]" if _more(pieces) else ""
            lines += [
                "",
                f"    def _step{piece.suffix}(self, group: dict[str, Any], weights: list[Any]{more}) -> None:",
            ]
            lines += _counted(piece, _more(pieces))
        lines += ["", *_advance_method(piece, _more(pieces))]
    return "\n".join(lines)


def _more(pieces: Sequence[_Piece]) -> list[str]:
    """What a step is given beside gradients."""
    return asked([piece.part for piece in pieces])


def _step_method(card: Card, pieces: Sequence[_Piece]) -> list[str]:
    """`step`: calls the closure, gathers what the rule asks for and steps group by group."""
    more = _more(pieces)
    given = ["self", "closure: Callable[[], Any] | None = None", *(["*"] if more else [])]
    given += [f"{name}: Any = None" for name in more]
    lines = [
        "    @torch.no_grad()",
        *_overriding(header("def step", given, "Any", "    ")),
        '        """Takes a step.',
        "",
        "        Args:",
        "            closure: computes the loss anew, and its gradients.",
    ]
    about = {
        "value": "the loss that the gradients are of; None: what the closure returns",
        "noise": "standard normal tensors, one for each parameter; None: drawn here",
        "hessian_diagonal": "an estimate of the Hessian's diagonal, one tensor for each parameter",
    }
    lines += [f"            {name}: {about[name]}." for name in more]
    lines += [
        "",
        "        Returns:",
        "            What the closure returned.",
        '        """',
        "        loss = None",
        "        if closure is not None:",
        "            with torch.enable_grad():",
        "                loss = closure()",
    ]
    if {*more} - {"value"}:
        lines.append('        params = [p for group in self.param_groups for p in group["params"]]')
    if more:
        lines.append("        given: dict[str, Any] = {}")
    for name in more:
        if name == "value":
            lines += ["        value = loss if value is None else value"]
        if name == "noise":
            lines += ["        noise = [torch.randn_like(p) for p in params] if noise is None else noise"]
        else:
            how = "give it to `step`, or a closure that returns it" if name == "value" else "give it to `step`"
            lines += [
                f"        if {name} is None:",
                f'            raise ValueError("{class_name(card)} reads `{name}`: {how}")',
            ]
        source = "value" if name == "value" else f"dict(zip(params, {name}, strict=True))"
        lines.append(f'        given["{name}"] = {source}')
    lines += [
        "        for group in self.param_groups:",
        f"            self._step(group{', given' if more else ''})",
        "        return loss",
    ]
    return lines


def _load_method(small: Sequence[str]) -> list[str]:
    """`load_state_dict`, which PyTorch's own casts to the type of the parameters."""
    names = ", ".join(f'"{name}"' for name in small)
    return [
        "    def load_state_dict(self, state_dict: Any) -> None:",
        '        """Loads a state; what is kept in single precision at least stays so."""',
        "        super().load_state_dict(state_dict)",
        '        params = [p for group in self.param_groups for p in group["params"]]',
        '        saved = [index for group in state_dict["param_groups"] for index in group["params"]]',
        "        for p, index in zip(params, saved, strict=True):",
        f"            for name in [{names}]:",
        '                if name in state_dict["state"].get(index, {}):',
        '                    self.state[p][name] = state_dict["state"][index][name].to(p.device, copy=True)',
    ]


def _overriding(lines: list[str]) -> list[str]:
    return [*lines[:-1], f"{lines[-1]}  # type: ignore[override]"]


def _constructor(card: Card, pieces: Sequence[_Piece]) -> list[str]:
    """The head of the class, its docstring, and `__init__`, which refuses values outside their ranges."""
    name, rate, parts = class_name(card), card.learning_rate, [piece.part for piece in pieces]
    own, alone = parameters(card, parts), any(piece.alone for piece in pieces)
    given = ["self", "params: Iterable[Any]"]
    given += [f"lr: float | Tensor{'' if rate.default is None else f' = {number(rate.default)}'}"]
    given += [f"{one.name}: float = {number(one.default or 0.0)}" for one in own]
    given += ["*", "maximize: bool = False"] + (["foreach: bool | None = None"] if alone else [])
    kept = ["lr", *(one.name for one in own), "maximize", *(["foreach"] if alone else [])]
    about = [
        f"class {name}(torch.optim.Optimizer):",
        f'    """{card.heading}',
        "",
        "    Args:",
        "        params: parameters, or groups of them as dicts.",
        "        lr: learning rate." if uses(parts, "lr") else "        lr: not used: the rule's step size is its own.",
        *arguments(card, parts, "        "),
        "        maximize: whether to climb the objective instead of descending.",
    ]
    if alone:
        about += [
            "        foreach: whether to join the tensors of a group, to launch fewer kernels; None: on a GPU only.",
        ]
    if any(piece.whole for piece in pieces):
        about += ["", "    Each group is a model of its own to what the rule computes over all tensors."]
    lines = [*about, '    """', ""]
    lines += header("def __init__", given, "None", "    ")
    for one, variable in ((rate, "lr"), *((one, one.name) for one in own)):
        lines += _validated(one, variable)
    lines += [
        "        defaults = {",
        *(f'            "{key}": {key},' for key in kept),
        "        }",
        "        super().__init__(params, defaults)",
    ]
    return lines


def _steps_of_group(card: Card, pieces: Sequence[_Piece]) -> list[str]:
    """`_step`: checks the parameters of a group and advances them, each part its own."""
    given, more = (", given: dict[str, Any]", ", given") if _more(pieces) else ("", "")
    needs = "needs dense gradients of real numbers, got sparse or complex"
    lines = [
        f"    def _step(self, group: dict[str, Any]{given}) -> None:",
        '        weights = [p for p in group["params"] if p.grad is not None and p.numel()]',
        "        for p in weights:",
        "            if p.grad.is_sparse or p.is_complex():",
        f'                raise RuntimeError("{class_name(card)} {needs}")',
    ]
    if not pieces[0].part.label:
        return [*lines, *_counted(pieces[0], _more(pieces))]
    turned = str.maketrans("01", "10")  # the first axis of a matrix is the second one to the rule
    for piece in pieces:
        test = re.sub(r"shape\[[01]\]", lambda axis: axis[0].translate(turned), piece.part.test)
        lines.append(f"        self._step{piece.suffix}(group, [x for x in weights if {test}]{more})")
    return lines


def _counted(piece: _Piece, asks: list[str]) -> list[str]:
    """Makes state, counts steps, and advances the parameters that have taken as many.

    Where a rule sees the model as a whole, the steps are those of the group.
    """
    more, counts, lines = (", given" if asks else ""), uses([piece.part], "t"), []
    own = ['self.state[p]["step"] = torch.tensor(0.0, dtype=torch.float64)'] if counts and not piece.whole else []
    own += [f'self.state[p]["{name}"] = {_first(kind, value)}' for name, kind, value in piece.states]
    if own:
        last = piece.states[-1][0] if piece.states else "step"  # it is there only if all are
        lines += ["        for p in weights:", f'            if "{last}" not in self.state[p]:']
        if any("x." in line for line in own):
            lines.append(f"                x = {piece.seen('p')}")
        lines += [f"                {line}" for line in own]
    if counts and not piece.whole:
        return [
            *lines,
            "        alike: dict[float, list[Tensor]] = {}  # parameters by their steps; compiled: one by one",
            "        for p in weights:",
            '            self.state[p]["step"] += 1.0',
            '            steps = -len(alike) if torch.compiler.is_compiling() else self.state[p]["step"].item()',
            "            alike.setdefault(steps, []).append(p)",
            "        for weights in alike.values():",
            f"            self._advance{piece.suffix}(group, weights{more})",
        ]
    lines.append("        if weights:")
    if counts:
        # anew, for what is added in place `torch.compile` forgets: the count would stay 1
        lines.append('            group.setdefault("step", torch.tensor(0.0, dtype=torch.float64))')
        lines.append('            group["step"] = group["step"] + 1.0')
    return [*lines, f"            self._advance{piece.suffix}(group, weights{more})"]


def _first(kind: Kind, value: float | str) -> str:
    """Source of the first value of a state variable beside a parameter p."""
    if isinstance(value, str):
        return "p.detach().clone()"
    if kind is TENSOR:
        return "torch.zeros_like(p)" if value == 0.0 else f"torch.full_like(p, {number(value)})"
    return f"full({shape_of(kind)}, {number(value)}, p)"


def _advance_method(piece: _Piece, asks: list[str]) -> list[str]:
    """`_advance`: gathers lists of tensors and scalars, calls the step function and writes what it gives."""
    given = ", given: dict[str, Any]" if asks else ""
    gradient = piece.seen('-p.grad if group["maximize"] else p.grad')
    lines = [
        f"    def _advance{piece.suffix}(self, group: dict[str, Any], weights: list[Any]{given}) -> None:",
        f"        grads = [{gradient} for p in weights]",
    ]
    lists = ["grads", "[layout(p) for p in weights]" if piece.axes else "weights"]
    if piece.states:
        alike: dict[str, list[str]] = {}
        for name, kind, _ in piece.states:
            held = "self.state[p][name]"
            alike.setdefault(piece.seen(held) if kind is TENSOR else held, []).append(f'"{name}"')
        for sign, (one, names) in zip(("=", "+="), alike.items(), strict=False):
            lines.append(f"        states {sign} [[{one} for p in weights] for name in [{', '.join(names)}]]")
        lists.append("*states")
    for name, kind, value in begins(piece.part.rule):
        if kind is SCALAR:
            first = f"torch.tensor({number(float(value))}, dtype=torch.float64)"
            lines.append(f'        group.setdefault("{name}", {first})')
    call = piece.function
    if piece.keywords:
        source = {name: f'group["{name}"]' for name in piece.scalars}
        source |= {"t": 'group["step"]' if piece.whole else 'self.state[weights[0]]["step"]'}
        source |= {"value": '-given["value"] if group["maximize"] else given["value"]'}
        keywords = [f"{name}=torch.as_tensor({source[name]}, dtype=torch.float64)," for name in piece.scalars]
        keywords += [f'{name}_state=group["{name}"],' for name in piece.small]
        for name in piece.lists:
            one = piece.seen(f'given["{name}"][p]')
            sign = "sign * " if name == "hessian_diagonal" else ""
            keywords.append(f"{name}_given=[{sign}{one} for p in weights],")
        if "hessian_diagonal" in piece.lists:
            lines.append('        sign = -1.0 if group["maximize"] else 1.0')
        lines += ["        step = partial(", *(f"            {one}" for one in [f"{call},", *keywords]), "        )"]
        call = "step"
    if piece.alone:
        return [
            *lines,
            '        foreach = weights[0].is_cuda if group["foreach"] is None else group["foreach"]',
            f"        advance({call}, [{', '.join(lists)}], foreach)",
        ]
    lines.append(f"        lists = [{', '.join(lists)}]")
    if not piece.small:
        return [*lines, f"        write(lists, {call}(*lists))"]
    names = ", ".join(f'"{name}"' for name in piece.small)
    return [
        *lines,
        f"        results, scalars = {call}(*lists)",
        "        write(lists, results)",
        f"        for name, scalar in zip([{names}], scalars, strict=True):",
        "            group[name] = torch.as_tensor(scalar, dtype=torch.float64)",
    ]


def _validated(one: HyperParameter, variable: str) -> list[str]:
    """Lines that refuse a value outside its range, NaN too."""
    low, high = one.range.low, one.range.high
    test = variable
    if isfinite(low):
        test = f"{number(low)} {'<' if one.range.low_open else '<='} {test}"
    if isfinite(high):
        test = f"{test} {'<' if one.range.high_open else '<='} {number(high)}"
    if test == variable:
        return []
    return [
        f"        if not {test}:",
        f'            raise ValueError(f"{variable} must be in {one.range}, got {{{variable}!r}}")',
    ]
