"""Functions of matrices and of the axes of a tensor.

A tensor of two axes is a matrix, (inputs, outputs) of a layer, as JAX stores it; of PyTorch, which stores (outputs,
inputs), exports see a view with the axes turned, so a rule does the same in either. Of tensors that are no matrix the
functions of matrices give zeros, or (as LEFT and RIGHT) nothing.

The functions are written so that their source, with `xp` replaced, runs with NumPy, JAX and PyTorch: it is what exports
contain. They are total: what LAPACK would refuse (NaN, infinity, a singular matrix) gives NaN.
"""

from typing import Any

from primitives.kinds import COLUMN, LEAF, LEFT, RIGHT, ROW, SCALAR, TENSOR, Kind
from primitives.primitive import Primitive, Scope

# --- products ---------------------------------------------------------------------------------------------------------


def matmul(xp: Any, x: Any, y: Any) -> Any:
    """Returns the matrix product x y; zeros where one of them is no matrix."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
        return xp.zeros_like(y if x.ndim == 2 and x.shape[0] == x.shape[1] else x)
    dtype = xp.result_type(x, y)
    return xp.asarray(x, dtype=dtype) @ xp.asarray(y, dtype=dtype)


def gram_left(xp: Any, x: Any) -> Any:
    """Returns x x'."""
    return x @ x.T if x.ndim == 2 else x.reshape(-1)[:0].reshape(0, 0)


def gram_right(xp: Any, x: Any) -> Any:
    """Returns x' x."""
    return x.T @ x if x.ndim == 2 else x.reshape(-1)[:0].reshape(0, 0)


def identity_left(xp: Any, x: Any) -> Any:
    """Returns the identity matrix on the rows of x."""
    return xp.diag(xp.ones_like(x[:, 0])) if x.ndim == 2 else x.reshape(-1)[:0].reshape(0, 0)


def identity_right(xp: Any, x: Any) -> Any:
    """Returns the identity matrix on the columns of x."""
    return xp.diag(xp.ones_like(x[0])) if x.ndim == 2 else x.reshape(-1)[:0].reshape(0, 0)


def transpose(xp: Any, x: Any) -> Any:
    """Returns x', in memory of its own: state that it is made of may be overwritten."""
    return xp.zeros_like(x) + x.T


def trace(xp: Any, x: Any) -> Any:
    """Returns the sum of the diagonal."""
    return xp.diagonal(x).sum()


def upper(xp: Any, x: Any) -> Any:
    """Returns x with zeros below the diagonal."""
    return xp.triu(x)


# --- decompositions ---------------------------------------------------------------------------------------------------


def inverse_root(xp: Any, x: Any, p: Any) -> Any:
    """Returns x^(-1/p) of the symmetric part of x, no eigenvalue below what rounding leaves of the largest; 0 of 0."""
    if x.shape[0] == 0:
        return x
    x = xp.asarray(x, dtype=xp.promote_types(x.dtype, xp.float32))
    x, p = x / 2.0 + x.T / 2.0, xp.asarray(p, dtype=x.dtype)
    known, scale = xp.isfinite(x).all(), xp.abs(x).max()
    some = known & (scale > 0.0)
    scale = xp.where(some, scale, xp.ones_like(scale))
    values, vectors = xp.linalg.eigh(xp.where(some, x / scale, xp.zeros_like(x)))
    least = xp.abs(values).max() * xp.finfo(x.dtype).eps
    least = xp.where(some, least, xp.ones_like(least))
    values = xp.where(values > least, values, xp.zeros_like(values) + least)
    root = (vectors * (values ** (-1.0 / p) * scale ** (-1.0 / p))) @ vectors.T
    root = xp.where(some, root, xp.zeros_like(x))
    return xp.where(known, root, xp.full_like(x, xp.nan))


def eigenvectors(xp: Any, x: Any) -> Any:
    """Returns the eigenvectors of the symmetric part of x as columns, eigenvalues falling, sums not negative."""
    if x.shape[0] == 0:
        return x
    x = xp.asarray(x, dtype=xp.promote_types(x.dtype, xp.float32))
    x = x / 2.0 + x.T / 2.0
    known, scale = xp.isfinite(x).all(), xp.abs(x).max()
    some = known & (scale > 0.0)
    x = xp.where(some, x / xp.where(some, scale, xp.ones_like(scale)), xp.zeros_like(x))
    vectors = xp.flip(xp.linalg.eigh(x)[1], (1,))
    vectors = xp.where(vectors.sum(0) < 0.0, -vectors, vectors)
    return xp.where(known, vectors, xp.full_like(x, xp.nan))


def orthogonal(xp: Any, x: Any) -> Any:
    """Returns Q of x = Q R, the diagonal of R not negative."""
    if x.shape[0] == 0:
        return x
    x, known = xp.asarray(x, dtype=xp.promote_types(x.dtype, xp.float32)), xp.isfinite(x).all()
    q, r = xp.linalg.qr(xp.where(known, x, xp.zeros_like(x)))
    return xp.where(known, xp.where(xp.diagonal(r) < 0.0, -q, q), xp.full_like(x, xp.nan))


def falling(xp: Any, x: Any) -> Any:
    """Returns the permutation matrix p for which the diagonal of p' x p falls; what is equal stays in order."""
    if x.shape[0] == 0:
        return x
    unit = xp.diag(xp.ones_like(x[0]))
    return unit[:, xp.argsort(-xp.diagonal(x), stable=True)]


def solve_upper(xp: Any, q: Any, x: Any) -> Any:
    """Returns q^-1 x, of q the upper triangle."""
    if x.ndim != 2 or q.shape[0] == 0:
        return xp.zeros_like(x)
    dtype = xp.promote_types(xp.result_type(q, x), xp.float32)
    q, x = xp.triu(xp.asarray(q, dtype=dtype)), xp.asarray(x, dtype=dtype)
    known = xp.isfinite(q).all() & (xp.diagonal(q) != 0.0).all()
    q = xp.where(known, q, xp.diag(xp.ones_like(q[0])))
    return xp.where(known, xp.linalg.solve(q, x), xp.full_like(x, xp.nan))


def newton_schulz(xp: Any, x: Any, a: Any, b: Any, c: Any) -> Any:
    """Returns a x + (b s + c s s) x with s = x x': one step towards the nearest matrix with orthonormal rows."""
    if x.ndim != 2:
        return xp.zeros_like(x)
    if x.shape[0] > x.shape[1]:  # the smaller side costs less, and x (x' x) = (x x') x
        s = x.T @ x
        return a * x + x @ (b * s + c * (s @ s))
    s = x @ x.T
    return a * x + (b * s + c * (s @ s)) @ x


def polar(xp: Any, x: Any) -> Any:
    """Returns u v' of the singular value decomposition x = u diag(s) v', without directions that rounding made."""
    if x.ndim != 2 or 0 in x.shape:
        return xp.zeros_like(x)
    x = xp.asarray(x, dtype=xp.promote_types(x.dtype, xp.float32))
    known, scale = xp.isfinite(x).all(), xp.abs(x).max()
    some = known & (scale > 0.0)
    x = xp.where(some, x / xp.where(some, scale, xp.ones_like(scale)), xp.zeros_like(x))
    u, s, v = xp.linalg.svd(x, full_matrices=False)
    held = s > s.max() * max(x.shape) * xp.finfo(x.dtype).eps
    return xp.where(known, xp.where(held, u, xp.zeros_like(u)) @ v, xp.full_like(x, xp.nan))


# --- shapes and axes --------------------------------------------------------------------------------------------------


def if_matrix(xp: Any, x: Any, y: Any) -> Any:
    """Returns x of a matrix, y of any other tensor."""
    return x if x.ndim == 2 else y


def if_wide(xp: Any, x: Any, y: Any) -> Any:
    """Returns x of a matrix that has at most as many rows as columns, y of any other tensor."""
    return x if x.ndim == 2 and x.shape[0] <= x.shape[1] else y


def rows(xp: Any, x: Any) -> Any:
    """Returns the length of the first axis."""
    return xp.asarray(float(x.shape[0] if x.ndim else 1), dtype=xp.promote_types(x.dtype, xp.float32))


def columns(xp: Any, x: Any) -> Any:
    """Returns the number of entries over the length of the first axis."""
    size = 1
    for n in x.shape[1:]:
        size *= n
    return xp.asarray(float(size), dtype=xp.promote_types(x.dtype, xp.float32))


def fan_in(xp: Any, x: Any) -> Any:
    """Returns the number of entries that an output of the layer sees: 1 of a vector."""
    size = 1
    for n in x.shape[:-1]:
        size *= n
    return xp.asarray(float(size), dtype=xp.promote_types(x.dtype, xp.float32))


def fan_out(xp: Any, x: Any) -> Any:
    """Returns the number of the layer's outputs."""
    return xp.asarray(float(x.shape[-1] if x.ndim else 1), dtype=xp.promote_types(x.dtype, xp.float32))


def channel_sum(xp: Any, x: Any) -> Any:
    """Returns for every entry the sum over the entries of its output."""
    return xp.zeros_like(x) + (x.reshape(-1, x.shape[-1]).sum(0) if x.ndim else x)


def row_sum(xp: Any, x: Any) -> Any:
    """Returns the sum over all axes but the first."""
    if x.ndim < 2:
        return xp.zeros_like(x) + x
    return x.reshape(x.shape[0], -1).sum(1).reshape(x.shape[0], *[1] * (x.ndim - 1))


def column_sum(xp: Any, x: Any) -> Any:
    """Returns the sum over the first axis."""
    return x.sum(0)[None] if x.ndim else xp.zeros_like(x) + x


def quantile(xp: Any, x: Any, q: Any) -> Any:
    """Returns the q-quantile of the entries of one tensor, by linear interpolation; NaN for q outside of [0, 1]."""
    x = x.reshape(-1)
    n = x.shape[0]
    if n == 0:
        return x.sum()
    x = xp.asarray(x, dtype=xp.promote_types(x.dtype, xp.float32))
    q = xp.asarray(xp.zeros_like(x[0]) + q, dtype=x.dtype)
    known = (q >= 0.0) & (q <= 1.0) & ~xp.isnan(x).any()
    order = xp.argsort(x)  # and no `quantile` of the array module: PyTorch's takes at most 2^24 entries
    x, place = x[order], xp.where(known, q, xp.zeros_like(q)) * (n - 1)
    below = xp.asarray(xp.floor(place), dtype=order.dtype)
    low, high = xp.take(x, below), xp.take(x, xp.clip(below + 1, 0, n - 1))
    found = low + (high - low) * (place - xp.asarray(below, dtype=x.dtype))
    return xp.where(known, found, xp.full_like(low, xp.nan))


_LITERATURE = "the literature: preconditioners on both sides of a matrix"
_SQUARES: tuple[Kind, ...] = (LEFT, RIGHT)


def _of_squares(name: str, fn: Any, doc: str, cost: float, **more: Any) -> Primitive:
    """A function of square matrices of either side, which gives one of that side."""
    return Primitive(
        name=name,
        fn=fn,
        inputs=(None,) * (1 + len(more.get("also", ()))),
        doc=doc,
        python="",
        scope=Scope.LEAF,
        overloads=tuple(((side, *more.get("also", ())), more.get("gives", {}).get(side, side)) for side in _SQUARES),
        cost=cost,
        drawn=False,
        axes=True,
        matrices=True,
        source=_LITERATURE,
    )


def _of_tensors(name: str, fn: Any, doc: str, output: Kind, cost: float = 4.0, **more: Any) -> Primitive:
    """A function of one tensor at a time."""
    return Primitive(
        name=name,
        fn=fn,
        inputs=(TENSOR, *more.pop("also", ())),
        doc=doc,
        python=more.pop("python", ""),
        output=output,
        scope=Scope.LEAF,
        cost=cost,
        drawn=False,
        axes=True,
        source=_LITERATURE,
        **more,
    )


MATRICES = (
    Primitive(
        name="matmul",
        fn=matmul,
        inputs=(None, None),
        doc="matrix product x y",
        python="",
        scope=Scope.LEAF,
        overloads=(
            ((LEFT, TENSOR), TENSOR),
            ((TENSOR, RIGHT), TENSOR),
            ((LEFT, LEFT), LEFT),
            ((RIGHT, RIGHT), RIGHT),
        ),
        cost=30.0,
        drawn=False,
        axes=True,
        matrices=True,
        source=_LITERATURE,
    ),
    _of_tensors("gram_left", gram_left, "x x' of each matrix", LEFT, 30.0, matrices=True),
    _of_tensors("gram_right", gram_right, "x' x of each matrix", RIGHT, 30.0, matrices=True),
    _of_tensors("identity_left", identity_left, "identity on the rows of each matrix", LEFT, matrices=True),
    _of_tensors("identity_right", identity_right, "identity on the columns of each matrix", RIGHT, matrices=True),
    _of_squares("transpose", transpose, "transposed square matrix", 1.0),
    _of_squares("trace", trace, "trace of a square matrix", 1.0, gives={LEFT: LEAF, RIGHT: LEAF}),
    _of_squares("upper", upper, "upper triangle of a square matrix", 1.0),
    _of_squares("inverse_root", inverse_root, "x^(-1/p) of a symmetric matrix", 1000.0, also=(SCALAR,)),
    _of_squares("eigenvectors", eigenvectors, "eigenvectors of a symmetric matrix, as columns", 1000.0),
    _of_squares("orthogonal", orthogonal, "Q of the decomposition x = Q R", 300.0),
    _of_squares("falling", falling, "permutation p, the diagonal of p' x p falling", 10.0),
    Primitive(
        name="solve_upper",
        fn=solve_upper,
        inputs=(None, None),
        doc="q^-1 x, of q the upper triangle",
        python="",
        scope=Scope.LEAF,
        overloads=(((LEFT, TENSOR), TENSOR), ((LEFT, LEFT), LEFT), ((RIGHT, RIGHT), RIGHT)),
        cost=100.0,
        drawn=False,
        axes=True,
        matrices=True,
        source=_LITERATURE,
    ),
    Primitive(
        name="newton_schulz",
        fn=newton_schulz,
        inputs=(TENSOR, SCALAR, SCALAR, SCALAR),
        doc="a x + (b s + c s^2) x with s = x x'",
        python="",
        output=TENSOR,
        scope=Scope.LEAF,
        cost=100.0,
        drawn=False,
        axes=True,
        matrices=True,
        source="Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks",
    ),
    _of_tensors("polar", polar, "u v' of each matrix x = u diag(s) v'", TENSOR, 1000.0, matrices=True),
)

AXES = (
    _of_tensors("if_matrix", if_matrix, "x of a matrix, y of any other tensor", TENSOR, 1.0, also=(TENSOR,)),
    _of_tensors("if_wide", if_wide, "x of a matrix with rows <= columns, else y", TENSOR, 1.0, also=(TENSOR,)),
    _of_tensors("rows", rows, "length of the first axis", LEAF, 1.0),
    _of_tensors("columns", columns, "number of entries / length of the first axis", LEAF, 1.0),
    _of_tensors("fan_in", fan_in, "number of entries that an output of the layer sees", LEAF, 1.0),
    _of_tensors("fan_out", fan_out, "number of the layer's outputs", LEAF, 1.0),
    _of_tensors("channel_sum", channel_sum, "sum over the entries of each output, at all of them", TENSOR),
    _of_tensors("row_sum", row_sum, "sum over all axes but the first", ROW),
    _of_tensors("column_sum", column_sum, "sum over the first axis", COLUMN),
    _of_tensors("quantile", quantile, "q-quantile of the entries of each tensor", LEAF, 20.0, also=(SCALAR,)),
)
