"""Functions of whole tensors or of the whole model."""

from typing import Any

from primitives.kinds import LEAF, SCALAR, TENSOR
from primitives.primitive import Primitive, Scope

TINY = 1e-30
"""Least divisor of `cosine_sim` and `clip_by_global_norm`: a state that is still zero must not give NaN.

Exact for larger norms, and a normal number in float32, where smaller ones would be flushed to zero."""


def norm(xp: Any, x: Any) -> Any:
    """The Euclidean norm of one tensor."""
    return xp.sqrt((x * x).sum())


def global_norm(xp: Any, x: Any) -> Any:
    """The Euclidean norm over all entries of the model."""
    return xp.sqrt((x * x).sum())


def dot(xp: Any, x: Any, y: Any) -> Any:
    """The inner product over all entries of the model."""
    return (x * y).sum()


def cosine_sim(xp: Any, x: Any, y: Any) -> Any:
    """The cosine of the angle between x and y over all entries of the model; 0 where one of them is zero."""
    scale = xp.sqrt((x * x).sum()) * xp.sqrt((y * y).sum())
    return (x * y).sum() / xp.maximum(scale, TINY)


def clip_by_global_norm(xp: Any, x: Any, c: Any) -> Any:
    """Returns x where its norm over the model is at most c, else x scaled to norm c."""
    length = xp.sqrt((x * x).sum())
    return x * xp.minimum(1.0, c / xp.maximum(length, TINY))


def mean(xp: Any, x: Any) -> Any:
    """The mean over the entries of one tensor; 0 where it has none."""
    return x.mean() if xp.size(x) else x.sum()


def tensor_sum(xp: Any, x: Any) -> Any:
    """The sum over the entries of one tensor."""
    return x.sum()


def max_abs(xp: Any, x: Any) -> Any:
    """The largest absolute value in one tensor; 0 where it has no entries."""
    return xp.abs(x).max() if xp.size(x) else x.sum()


def count(xp: Any, x: Any) -> Any:
    """The number of entries of one tensor."""
    return xp.asarray(float(xp.size(x)), dtype=xp.promote_types(x.dtype, xp.float32))


def global_sum(xp: Any, x: Any) -> Any:
    """The sum over all entries of the model, or of one value a tensor over its tensors."""
    return x.sum()


_LENGTH = "{xp}.sqrt({xp}.sum({0} * {0}))"

REDUCTIONS = (
    Primitive(
        name="norm",
        fn=norm,
        inputs=(None,),
        doc="Euclidean norm of each parameter tensor",
        python=_LENGTH,
        output=LEAF,
        scope=Scope.LEAF,
        cost=4.0,
        latex=r"\left\|{0}\right\|",
    ),
    Primitive(
        name="global_norm",
        fn=global_norm,
        inputs=(None,),
        doc="Euclidean norm over the whole model",
        python=_LENGTH,
        output=SCALAR,
        scope=Scope.MODEL,
        cost=4.0,
        latex=r"\left\|{0}\right\|_{{\mathrm{{all}}}}",
    ),
    Primitive(
        name="dot",
        fn=dot,
        inputs=(None, None),
        doc="inner product over the whole model",
        python="{xp}.sum({0} * {1})",
        output=SCALAR,
        scope=Scope.MODEL,
        cost=4.0,
        latex=r"\left<{0}, {1}\right>",
        commutative=True,
    ),
    Primitive(
        name="cosine_sim",
        fn=cosine_sim,
        inputs=(None, None),
        doc="dot(x, y) / (|x| |y|) over the whole model, 0 where x or y is zero",
        python="{xp}.sum({0} * {1}) / {xp}.maximum("
        "{xp}.sqrt({xp}.sum({0} * {0})) * {xp}.sqrt({xp}.sum({1} * {1})), 1e-30)",
        torch="torch.sum({0} * {1}) / torch.clamp("
        "torch.sqrt(torch.sum({0} * {0})) * torch.sqrt(torch.sum({1} * {1})), min=1e-30)",
        output=SCALAR,
        scope=Scope.MODEL,
        cost=12.0,
        latex=r"\operatorname{{cosine}}\left({0}, {1}\right)",
        commutative=True,
    ),
    Primitive(
        name="clip_by_global_norm",
        fn=clip_by_global_norm,
        inputs=(None, SCALAR),
        doc="x min(1, c / |x|) with the norm over the whole model",
        python="{0} * {xp}.minimum(1.0, {1} / {xp}.maximum(" + _LENGTH + ", 1e-30))",
        torch="{0} * torch.clamp({1} / torch.clamp(torch.sqrt(torch.sum({0} * {0})), min=1e-30), max=1.0)",
        scope=Scope.MODEL,
        aliases=("clip",),
        cost=6.0,
        latex=r"\operatorname{{clip}}\left({0}, {1}\right)",
    ),
)

MEASURES = (
    Primitive(
        name="tensor_sum",
        fn=tensor_sum,
        inputs=(None,),
        doc="sum over the entries of each parameter tensor",
        python="{xp}.sum({0})",
        latex=r"\operatorname{{sum}}\left({0}\right)",
        output=LEAF,
        scope=Scope.LEAF,
        drawn=False,
        cost=2.0,
        source="the literature: inner products of tensors",
    ),
    Primitive(
        name="mean",
        fn=mean,
        inputs=(None,),
        doc="mean of each parameter tensor",
        python="{xp}.mean({0})",
        output=LEAF,
        scope=Scope.LEAF,
        drawn=False,
        cost=2.0,
        latex=r"\operatorname{{mean}}\left({0}\right)",
        source="the literature: masks, root mean squares",
    ),
    Primitive(
        name="max_abs",
        fn=max_abs,
        inputs=(None,),
        doc="largest absolute value in each parameter tensor",
        python="{xp}.max({xp}.abs({0}))",
        output=LEAF,
        scope=Scope.LEAF,
        drawn=False,
        cost=2.0,
        latex=r"\left\|{0}\right\|_{{\infty}}",
        source="the literature: scaling by the largest entry",
    ),
    Primitive(
        name="count",
        fn=count,
        inputs=(TENSOR,),
        doc="number of entries of each parameter tensor",
        python="{xp}.asarray(float({0}.size))",
        torch="torch.tensor(float({0}.numel()), dtype=torch.float64)",
        output=LEAF,
        scope=Scope.LEAF,
        drawn=False,
        source="the literature: means over the model",
    ),
    Primitive(
        name="global_sum",
        fn=global_sum,
        inputs=(None,),
        doc="sum over the whole model",
        python="{xp}.sum({0})",
        latex=r"\operatorname{{total}}\left({0}\right)",
        output=SCALAR,
        scope=Scope.MODEL,
        drawn=False,
        cost=2.0,
        source="the literature: means and l1 norms over the model",
    ),
)
