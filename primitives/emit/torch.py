"""A `torch.optim.Optimizer`: one module that needs only PyTorch."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite

from primitives.card import Card, HyperParameter
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
from primitives.emit.readable import Line, Rule
from primitives.kinds import LEAF, TENSOR, Kind
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
            old.copy_(torch.as_tensor(new))'''

_ADVANCE = '''\
PIECE = 1 << 17
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
    rule = read_rule(program, vocabulary, card, dtype)
    dialect = Dialect(
        xp="torch",
        scalar=lambda source: f"torch.tensor({source}, dtype=torch.float64)",
        trees={"w": "weights", "g": "grads"},
        state=lambda variable: f"{variable}_state",
        like="g",
        full=lambda like, value: f"torch.zeros_like({like}) + {value}",
        fuse=partial(_fuse, kinds=rule.graph.kinds),
        spell=partial(_spell, kinds=rule.graph.kinds),
    )
    body = write_body(rule, vocabulary, dialect)
    own = parameters(card, rule)
    scopes = [vocabulary[line.op].scope for line in rule.lines]
    alone = all(scope is Scope.ELEMENT for scope in scopes) and LEAF not in rule.graph.kinds
    definitions = [
        *write_model_side(body, dialect, _MODEL_SIDE),
        _WRITE,
        *([_ADVANCE] if alone else []),
        _step(card, rule, body, own),
        _class(card, rule, own, alone),
    ]
    rate = "" if card.learning_rate.default is not None else ", lr=1e-3"
    use = _USE.replace("CLASS", class_name(card)).replace("RATE", rate)
    imports = _IMPORTS.replace("FUNCTOOLS", "from functools import partial\n" if _scalars(rule, own) else "")
    return write_module(card, rule, vocabulary, use, imports, definitions)


_FUSED = "addcmul"
"""Operation of a line `target = a + b * c`, with the arguments a, b, c."""
_NONZERO = {"divide": (1, "{0} / {1}"), "power": (0, "torch.pow({0}, {1})")}
"""Operations that guard against -0: which argument, and the call where that is a constant (0 has no guard anyway)."""
_CALLS = {"add": "add", "subtract": "sub", "multiply": "mul", _FUSED: "addcmul"}
"""What stands for an operator where the result is written into a tensor."""


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


def _spell(line: Line, args: Sequence[str], into: str | None, kinds: Sequence[Kind]) -> str | None:
    """Writes what PyTorch does in one call, and into the old value of state where that is free."""
    end = f", out={into})" if into is not None else ")"
    variables = [isinstance(arg, str) for arg in line.args]
    if line.op in _NONZERO and line.args and not variables[_NONZERO[line.op][0]]:
        return _NONZERO[line.op][1].format(*args)
    if line.op == "interpolate" and all(variables) and kinds[line.refs[0]] is kinds[line.refs[1]] is TENSOR:
        x, y, a = args
        return f"torch.addcmul((1.0 - {a}) * {x}, {y}, {a}{end}"
    if line.op == "where" and not variables[0]:  # a Python bool is no mask
        return f"torch.where(torch.tensor({args[0]} > 0.0), {args[1]}, {args[2]})"
    if line.op == "where" and not any(variables[1:]):  # of two numbers PyTorch would make float32, whatever c is
        return f"torch.where({args[0]} > 0.0, torch.full_like({args[0]}, {args[1]}), {args[2]})"
    if line.op == _FUSED or (into is not None and line.op in _CALLS and all(variables)):
        return f"torch.{_CALLS[line.op]}({', '.join(args)}{end}"
    return None


def _scalars(rule: Rule, own: Sequence[HyperParameter]) -> list[str]:
    """Names of the numbers that a step takes."""
    return [name for name in ("lr", "t") if name in rule.graph.inputs] + [one.name for one in own]


def _step(card: Card, rule: Rule, body: Body, own: Sequence[HyperParameter]) -> str:
    states = [f"{name}_state" for name, _, _ in rule.state]
    given = [f"{name}: list[Tensor]" for name in ("grads", "weights", *states)]
    numbers = [f"{name}: Tensor" for name in _scalars(rule, own)]
    given += ["*", *numbers] if numbers else []
    results = [body.output, *(body.state[name] for name, _, _ in rule.state)]
    return "\n".join(
        [
            *header(f"def {card.name}_step", given, "list[list[Any]]"),
            '    """Returns what to subtract from each tensor, and the state, which it may change in place."""',
            *(f"    {line}" for line in body.lines),
            f"    return [{', '.join(results)}]",
        ]
    )


def _class(card: Card, rule: Rule, own: Sequence[HyperParameter], alone: bool) -> str:
    lines = [*_constructor(card, rule, own, alone), "", *_STEP.splitlines(), "", *_steps_of_group(card, rule), ""]
    return "\n".join([*lines, *_advance_method(card, rule, own, alone)])


_STEP = '''\
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Takes a step.

        Args:
            closure: computes the loss anew, and its gradients.

        Returns:
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step(group)
        return loss'''


def _constructor(card: Card, rule: Rule, own: Sequence[HyperParameter], alone: bool) -> list[str]:
    """The head of the class, its docstring, and `__init__`, which refuses values outside their ranges."""
    name, rate = class_name(card), card.learning_rate
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
        "        lr: learning rate."
        if "lr" in rule.graph.inputs
        else "        lr: not used: the rule's step size is its own.",
        *arguments(card, rule, "        "),
        "        maximize: whether to climb the objective instead of descending.",
    ]
    if alone:
        about += [
            "        foreach: whether to join the tensors of a group, to launch fewer kernels; None: on a GPU only.",
        ]
    else:
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


def _steps_of_group(card: Card, rule: Rule) -> list[str]:
    """`_step`: makes state, counts steps, and advances the parameters of a group that have taken as many."""
    name = class_name(card)
    states = [variable for variable, _, _ in rule.state]
    lines = [
        "    def _step(self, group: dict[str, Any]) -> None:",
        '        weights = [p for p in group["params"] if p.grad is not None]',
        "        for p in weights:",
        "            if p.grad.is_sparse or p.is_complex():",
        f'                raise RuntimeError("{name} needs dense gradients of real numbers, got sparse or complex")',
    ]
    counts = "t" in rule.graph.inputs
    if states or counts:
        lines += ["            if not self.state[p]:"]
        if counts:
            lines += ['                self.state[p]["step"] = torch.tensor(0.0, dtype=torch.float64)']
        lines += [f'                self.state[p]["{state}"] = torch.zeros_like(p)' for state in states]
    if counts:
        lines += [
            "        alike: dict[float, list[Tensor]] = {}  # parameters by the number of their steps",
            "        for p in weights:",
            '            self.state[p]["step"] += 1.0',
            '            steps = 0.0 if torch.compiler.is_compiling() else self.state[p]["step"].item()',
            "            alike.setdefault(steps, []).append(p)",
            "        for weights in alike.values():",
            "            self._advance(group, weights)",
        ]
    else:
        lines += ["        if weights:", "            self._advance(group, weights)"]
    return lines


def _advance_method(card: Card, rule: Rule, own: Sequence[HyperParameter], alone: bool) -> list[str]:
    """`_advance`: gathers lists of tensors and scalars, calls the step function and writes what it gives."""
    states = [variable for variable, _, _ in rule.state]
    lines = [
        "    def _advance(self, group: dict[str, Any], weights: list[Any]) -> None:",
        '        grads = [-p.grad if group["maximize"] else p.grad for p in weights]',
    ]
    lists = ["grads", "weights"]
    if states:
        held = "".join(f'"{state}", ' for state in states)
        lines += [f"        states = [[self.state[p][name] for p in weights] for name in [{held[:-2]}]]"]
        lists.append("*states")
    own_steps = {"t": 'self.state[weights[0]]["step"]'}
    scalars = {name: own_steps.get(name, f'group["{name}"]') for name in _scalars(rule, own)}
    call = f"{card.name}_step"
    if scalars:
        given = [f"{key}=torch.as_tensor({source}, dtype=torch.float64)," for key, source in scalars.items()]
        lines += [
            "        step = partial(",
            *(f"            {one}" for one in [f"{call},", *given]),
            "        )",
        ]
        call = "step"
    if alone:
        lines += [
            '        foreach = weights[0].is_cuda if group["foreach"] is None else group["foreach"]',
            f"        advance({call}, [{', '.join(lists)}], foreach)",
        ]
    else:
        lines += [
            f"        lists = [{', '.join(lists)}]",
            f"        write(lists, {call}(*lists))",
        ]
    return lines


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
