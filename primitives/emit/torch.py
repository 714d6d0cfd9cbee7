"""A `torch.optim.Optimizer`: one module that needs only PyTorch."""

from collections.abc import Mapping, Sequence
from functools import partial

from primitives.card import Card
from primitives.emit.loops import Dialect, write_body
from primitives.emit.module import (
    MORE,
    asked,
    begins,
    class_name,
    header,
    parameters,
    plain,
    read_parts,
    small_kinds,
    uses,
    write_functions,
    write_module,
)
from primitives.emit.parts import Part
from primitives.emit.readable import Line, Rule
from primitives.emit.torch_class import Piece, write_class
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
    """Gives parameters and state the next values that the step has not given; `lists` begins with gradients."""
    held = {id(x) for tensors in lists for x in tensors}
    pairs = [
        (old, new.clone() if id(new) in held else new)  # what is about to be overwritten is needed as it was
        for both in zip(lists[1:], results, strict=True)
        for old, new in zip(*both, strict=True)
        if new is not old
    ]
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

_SIGN = '''\
def sign(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Returns -1, 0 or 1, and NaN of NaN, which `torch.sign` turns into 0; subnormal numbers may give less than 1."""
    large = torch.finfo(torch.promote_types(x.dtype, torch.float32)).max
    return torch.mul(x, large, out=out).clamp_(-1.0, 1.0)'''

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
    pieces: list[tuple[Tensor, ...]] = []
    for index, tensors in enumerate(zip(*lists, strict=True)):
        if index in done:
            continue
        whole = torch.compiler.is_compiling() or tensors[0].numel() <= PIECE or tensors[0].device.type != "cpu"
        if whole or not all(x.is_contiguous() for x in tensors):
            pieces.append(tensors)
        else:
            pieces += zip(*[x.view(-1).split(PIECE) for x in tensors], strict=True)
    if pieces:
        cut = [[*tensors] for tensors in zip(*pieces, strict=True)]
        write(cut, step(*cut))'''


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
    both = zip(*[read_parts(program, vocabulary, card, dtype, moves) for moves in (False, True)], strict=True)
    pieces = [_piece(card, part, moving.rule, vocabulary) for part, moving in both]
    parts = [piece.part for piece in pieces]
    definitions = [
        *write_functions([piece.body for piece in pieces], _dialect(parts[0].rule, False), _MODEL_SIDE),
        _WRITE,
        *([_LAYOUT] if any(piece.axes for piece in pieces) else []),
        *([_FULL] if any(small_kinds(part.rule) for part in parts) else []),
        *([_SIGN] if any(line.op == "sign" for part in parts for line in part.rule.lines) else []),
        *([_ADVANCE] if any(piece.alone for piece in pieces) else []),
        *(_step(piece) for piece in pieces),
        write_class(card, pieces),
    ]
    rate = "" if card.learning_rate.default is not None else ", lr=1e-3"
    use = _USE.replace("CLASS", class_name(card)).replace("RATE", rate)
    functools = "from functools import partial\n" if any(piece.keywords for piece in pieces) else ""
    return write_module(card, program, parts, vocabulary, use, _IMPORTS.replace("FUNCTOOLS", functools), definitions)


def _dialect(rule: Rule, alone: bool) -> Dialect:
    return Dialect(
        xp="torch",
        scalar=lambda source: f"torch.tensor({source}, dtype=torch.float64)",
        trees={"g": "grads", **{name: f"{name}_given" for name in MORE[1:]}},
        state=_state_list,
        number=lambda variable: f"{variable}_state",
        like="g",
        full=lambda like, value: f"torch.add(torch.zeros_like({like}), {value})",
        fuse=partial(_fuse, kinds=rule.graph.kinds),
        spell=partial(_spell, kinds=rule.graph.kinds, alone=alone),
        frees=True,
    )


def _state_list(variable: str) -> str:
    """Name of the list of tensors of a state variable; the parameters are one."""
    return "weights" if variable == "w" else f"{variable}_state"


def _piece(card: Card, part: Part, moving: Rule, vocabulary: Vocabulary) -> Piece:
    """A part, and its source from the same rule with the parameters as state."""
    graph = part.rule.graph
    scopes = {vocabulary[line.op].scope for line in part.rule.lines}
    small = tuple(name for name, kind, _ in begins(part.rule) if kind is SCALAR)
    lists = tuple(name for name in asked([part]) if name != "value")
    kinds = {*graph.kinds, *graph.state_kinds}
    numbers = [name for name in ("lr", "t", "value") if uses([part], name)]
    alone = scopes <= {Scope.ELEMENT} and kinds <= {SCALAR, TENSOR} and not small and not lists
    return Piece(
        part=part,
        body=write_body(moving, vocabulary, _dialect(moving, alone)),
        function=f"{card.name}{part.suffix}_step",
        alone=alone,
        whole=bool(small) or Scope.MODEL in scopes,
        scalars=(*numbers, *(one.name for one in parameters(card, [part]))),
        lists=lists,
        small=small,
        axes=any(vocabulary[line.op].axes for line in part.rule.lines) or not kinds <= {SCALAR, LEAF, TENSOR},
    )


_FUSED = {"add": "addcmul", "subtract": "addcmul_minus"}
"""Operations of lines `target = a + b * c` and `target = a - b * c`, with the arguments a, b, c."""
_NONZERO = {"divide": (1, "{0} / {1}"), "power": (0, "torch.pow({0}, {1})")}
"""Operations that guard against -0: which argument, and the call where that is a constant (0 has no guard anyway)."""
_CALLS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "addcmul": "addcmul",
    "addcmul_minus": "addcmul",
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
    """Joins a product of variables with the sum or difference that alone uses it: one pass over memory instead of two.

    Where parameters are on a GPU, scalars stay on the CPU, and of the operands of `addcmul` only the last may be there.
    """
    fused: list[Line] = []
    for line in lines:
        joined = None
        for place, ref in enumerate(line.refs if line.op in _FUSED else ()):
            if line.op == "subtract" and place == 0:
                continue
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
            line = line._replace(op=_FUSED[line.op], args=(other, *product.args), refs=refs)
            break
        if joined is not None:
            fused.remove(joined)
        fused.append(line)
    return fused


def _spell(
    line: Line, args: Sequence[str], into: str | None, spare: str | None, kinds: Sequence[Kind], alone: bool
) -> str | None:
    """Writes what PyTorch does in one call, and into the old value of state where that is free.

    Where every entry is updated by itself all tensors have the type of the parameter, as `lerp` wants it.
    """
    end = f", out={into})" if into is not None else ")"
    variables = [isinstance(arg, str) for arg in line.args]
    if line.op == "divide" and into is not None and variables == [True, False] and line.args[1] != 0.0:
        return f"torch.div({', '.join(args)}{end}"
    if line.op in _NONZERO and line.args and not variables[_NONZERO[line.op][0]]:
        return _NONZERO[line.op][1].format(*args)
    if line.op == "sign":
        return f"sign({args[0]}{end if variables[0] else ')'}"
    if line.op == "interpolate" and all(variables[:2]) and kinds[line.refs[0]] is kinds[line.refs[1]] is TENSOR:
        x, y, a = args
        if alone:
            return f"torch.lerp({y}, {x}, 1.0 - {a}{end}"
        if variables[2]:
            share = f"torch.mul({x}, 1.0 - {a}, out={x})" if spare == x and x not in (y, a) else f"(1.0 - {a}) * {x}"
            return f"torch.addcmul({share}, {y}, {a}{end}"
    if line.op in _CHOICES and any(variables) and not variables[0]:  # a Python bool is no mask
        return f"torch.where(torch.tensor({args[0]} {_CHOICES[line.op]}), {args[1]}, {args[2]})"
    if (
        line.op in _CHOICES and variables[0] and not any(variables[1:])
    ):  # of two numbers PyTorch would make float32, whatever c is
        return f"torch.where({args[0]} {_CHOICES[line.op]}, torch.full_like({args[0]}, {args[1]}), {args[2]})"
    bare = line.bare or line.op not in _GUARDED
    if line.op == "addcmul_minus":
        end = f", value=-1.0{end}"
    if line.op in _FUSED.values() or (into is not None and line.op in _CALLS and bare and variables[0]):
        return f"torch.{_CALLS[line.op]}({', '.join(args)}{end}"
    return None


def _step(piece: Piece) -> str:
    states = [name for name, _, _ in piece.states]
    given = [f"{name}: list[Tensor]" for name in ("grads", "weights", *map(_state_list, states))]
    more = [f"{name}: Tensor" for name in (*piece.scalars, *(f"{name}_state" for name in piece.small))]
    more += [f"{name}_given: list[Tensor]" for name in piece.lists]
    given += ["*", *more] if more else []
    results = f"[{', '.join(piece.body.state[name] for name in ('w', *states))}]"
    gives, doc = "list[list[Any]]", "state, which it may change in place"
    if piece.small:
        gives, doc = f"tuple[{gives}, list[Any]]", "state: tensors, which it may change in place, and numbers"
        results += f", [{', '.join(piece.body.state[name] for name in piece.small)}]"
    return "\n".join(
        [
            *header(f"def {piece.function}", given, gives),
            f'    """Returns the next values of parameters and {doc}."""',
            *(f"    {line}" for line in piece.body.lines),
            f"    return {results}",
        ]
    )
