"""The class of a `torch.optim.Optimizer` around the functions that take its steps."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from primitives.card import Card, HyperParameter
from primitives.emit.loops import Body, number
from primitives.emit.module import arguments, asked, begins, class_name, defaults, header, parameters, shape_of, uses
from primitives.emit.parts import Part
from primitives.kinds import SCALAR, TENSOR, Kind


@dataclass(frozen=True, slots=True)
class Piece:
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


def write_class(card: Card, pieces: Sequence[Piece]) -> str:
    """Returns the source of the class."""
    asks = asked([piece.part for piece in pieces])
    lines = [*_constructor(card, pieces), "", *_step_method(card, asks)]
    small = dict.fromkeys(name for piece in pieces for name, kind, _ in piece.states if kind is not TENSOR)
    if small:
        lines += ["", *_load_method([*small])]
    lines += ["", *_steps_of_group(card, pieces, asks)]
    for piece in pieces:
        if piece.part.label:
            more = ", given: dict[str, Any]" if asks else ""
            lines += [
                "",
                f"    def _step{piece.part.suffix}(self, group: dict[str, Any], weights: list[Any]{more}) -> None:",
            ]
            lines += _counted(piece, asks)
        lines += ["", *_advance_method(piece, asks)]
    return "\n".join(lines)


def _step_method(card: Card, more: Sequence[str]) -> list[str]:
    """`step`: calls the closure, gathers what the rule asks for and steps group by group."""
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


def _constructor(card: Card, pieces: Sequence[Piece]) -> list[str]:
    """The head of the class, its docstring, and `__init__`, which refuses values outside their ranges."""
    name, rate, parts = class_name(card), card.learning_rate, [piece.part for piece in pieces]
    own, alone = parameters(card, parts), any(piece.alone for piece in pieces)
    given = ["self", "params: Iterable[Any]"]
    given += [f"lr: float | Tensor{'' if rate.default is None else f' = {number(rate.default)}'}"]
    given += defaults(card, parts)
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


def _steps_of_group(card: Card, pieces: Sequence[Piece], asks: Sequence[str]) -> list[str]:
    """`_step`: checks the parameters of a group and advances them, each part its own."""
    given, more = (", given: dict[str, Any]", ", given") if asks else ("", "")
    needs = "needs dense gradients of real numbers, got sparse or complex"
    lines = [
        f"    def _step(self, group: dict[str, Any]{given}) -> None:",
        '        weights = [p for p in group["params"] if p.grad is not None and p.numel()]',
        "        for p in weights:",
        "            if p.grad.is_sparse or p.is_complex():",
        f'                raise RuntimeError("{class_name(card)} {needs}")',
    ]
    if not pieces[0].part.label:
        return [*lines, *_counted(pieces[0], asks)]
    turned = str.maketrans("01", "10")  # the first axis of a matrix is the second one to the rule
    for piece in pieces:
        test = re.sub(r"shape\[[01]\]", lambda axis: axis[0].translate(turned), piece.part.test)
        lines.append(f"        self._step{piece.part.suffix}(group, [x for x in weights if {test}]{more})")
    return lines


def _counted(piece: Piece, asks: Sequence[str]) -> list[str]:
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
            f"            self._advance{piece.part.suffix}(group, weights{more})",
        ]
    lines.append("        if weights:")
    if counts:
        # anew, for what is added in place `torch.compile` forgets: the count would stay 1
        lines.append('            group.setdefault("step", torch.tensor(0.0, dtype=torch.float64))')
        lines.append('            group["step"] = group["step"] + 1.0')
    return [*lines, f"            self._advance{piece.part.suffix}(group, weights{more})"]


def _first(kind: Kind, value: float | str) -> str:
    """Source of the first value of a state variable beside a parameter p."""
    if isinstance(value, str):
        return "p.detach().clone()"
    if kind is TENSOR:
        return "torch.zeros_like(p)" if value == 0.0 else f"torch.full_like(p, {number(value)})"
    return f"full({shape_of(kind)}, {number(value)}, p)"


def _advance_method(piece: Piece, asks: Sequence[str]) -> list[str]:
    """`_advance`: gathers lists of tensors and scalars, calls the step function and writes what it gives."""
    given = ", given: dict[str, Any]" if asks else ""
    gradient = piece.seen('-p.grad if group["maximize"] else p.grad')
    lines = [
        f"    def _advance{piece.part.suffix}(self, group: dict[str, Any], weights: list[Any]{given}) -> None:",
        f"        grads = [{gradient} for p in weights]",
    ]
    lists = ["grads", f"[{piece.seen('p.detach()')} for p in weights]"]
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
