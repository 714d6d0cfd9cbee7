"""Operators, constants and blends: what takes two or more values, or none."""

import math
from typing import Any

from primitives.kinds import SCALAR
from primitives.primitive import Primitive

EPSILON = 1e-8
"""Added to the divisor by `/`, and the value of `get_eps()`."""


def add(xp: Any, x: Any, y: Any) -> Any:
    """Returns x + y."""
    return x + y


def subtract(xp: Any, x: Any, y: Any) -> Any:
    """Returns x - y."""
    return x - y


def multiply(xp: Any, x: Any, y: Any) -> Any:
    """Returns x * y."""
    return x * y


def guarded_divide(xp: Any, x: Any, y: Any) -> Any:
    """Returns x / (y + 1e-8)."""
    return x / (y + EPSILON)


def divide(xp: Any, x: Any, y: Any) -> Any:
    """Returns x / y; a divisor of either zero counts as +0."""
    return x / xp.where(y == 0.0, 0.0, y)


def real_divide(xp: Any, x: Any, y: Any) -> Any:
    """Returns x / y as IEEE 754 has it."""
    return x / y


def fma(xp: Any, x: Any, y: Any, z: Any) -> Any:
    """Returns x y + z, rounded twice: array modules have no fused operation."""
    return x * y + z


def where(xp: Any, c: Any, x: Any, y: Any) -> Any:
    """Returns x where c > 0, else y (also where c is NaN)."""
    return xp.where(c > 0.0, x, y)


def maximum(xp: Any, x: Any, y: Any) -> Any:
    """Returns the larger; NumPy returns one of two zeros by position, so both become +0 and the operands commute."""
    return xp.maximum(x, y) + 0.0


def minimum(xp: Any, x: Any, y: Any) -> Any:
    """Returns the smaller; zeros as in `maximum`."""
    return xp.minimum(x, y) + 0.0


def get_pi(xp: Any) -> Any:
    """Returns pi."""
    return xp.asarray(math.pi)


def get_e(xp: Any) -> Any:
    """Returns Euler's number."""
    return xp.asarray(math.e)


def get_eps(xp: Any) -> Any:
    """Returns 1e-8."""
    return xp.asarray(EPSILON)


def interpolate(xp: Any, x: Any, y: Any, a: Any) -> Any:
    """Returns (1 - a) x + a y."""
    return (1.0 - a) * x + a * y


def initial(xp: Any, t: Any, x: Any, y: Any) -> Any:
    """Returns x at the first step, else y."""
    return xp.where(t < 1.5, x, y)


def remainder(xp: Any, x: Any, y: Any) -> Any:
    """Returns x - y floor(x / y), exactly: it has the sign of y."""
    return xp.remainder(x, y)


def power(xp: Any, x: Any, y: Any) -> Any:
    """Returns x to the power y; a zero base counts as +0."""
    return xp.power(xp.where(x == 0.0, 0.0, x), y)


_TWO = (None, None)

OPERATORS = (
    Primitive("add", add, _TWO, "x + y", "{0} + {1}", infix="+", commutative=True, latex="{0} + {1:+}"),
    Primitive("subtract", subtract, _TWO, "x - y", "{0} - {1}", infix="-", latex="{0} - {1:*}"),
    Primitive("multiply", multiply, _TWO, "x y", "{0} * {1}", infix="*", commutative=True, latex="{0:*} {1:*}"),
    Primitive(
        name="guarded_divide",
        fn=guarded_divide,
        inputs=_TWO,
        doc="x / (y + 1e-8)",
        python="{0} / ({1} + 1e-8)",
        infix="/",
        latex=r"\frac{{{0}}}{{{1} + 10^{{-8}}}}",
    ),
    Primitive(
        name="max",
        fn=maximum,
        inputs=_TWO,
        doc="the larger of x and y",
        python="{xp}.maximum({0}, {1})",
        torch="torch.clamp({0}, min={1})",
        commutative=True,
        latex=r"\max\left({0}, {1}\right)",
    ),
    Primitive(
        name="min",
        fn=minimum,
        inputs=_TWO,
        doc="the smaller of x and y",
        python="{xp}.minimum({0}, {1})",
        torch="torch.clamp({0}, max={1})",
        commutative=True,
        latex=r"\min\left({0}, {1}\right)",
    ),
)

EXACT = (
    Primitive(
        name="divide",
        fn=divide,
        inputs=_TWO,
        doc="x / y",
        python="{0} / {xp}.where({1} == 0.0, 0.0, {1})",
        drawn=False,
        unguarded=(1, "{0} / {1}"),
        latex=r"\frac{{{0}}}{{{1}}}",
        source="the literature, where `/` adds nothing to the divisor",
    ),
    Primitive(
        name="where",
        fn=where,
        inputs=(None, None, None),
        doc="x where c > 0, else y",
        python="{xp}.where({0} > 0.0, {1}, {2})",
        drawn=False,
        latex=r"\begin{{cases}}{1} & \text{{if }}{0} > 0 \\ {2} & \text{{otherwise}}\end{{cases}}",
        source="the literature: trust ratios, masks",
    ),
)

REAL = (
    *OPERATORS[:3],
    Primitive(
        name="divide",
        fn=real_divide,
        inputs=_TWO,
        doc="x / y, exactly: nothing guards the divisor",
        python="{0} / {1}",
        infix="/",
        cost=2.0,
        latex=r"\frac{{{0}}}{{{1}}}",
        source="Real et al. 2023, AutoNumerics-Zero",
    ),
    Primitive(
        name="fma",
        fn=fma,
        inputs=(None, None, None),
        doc="x y + z, one operation where the processor has it",
        python="{0} * {1} + {2}",
        commutative=True,
        drawn=False,
        cost=2.0,
        latex="{0:*} {1:*} + {2:+}",
        source="Real et al. 2023, AutoNumerics-Zero",
    ),
)

STEPS = (
    Primitive(
        name="initial",
        fn=initial,
        inputs=(SCALAR, None, None),
        doc="x at the first step, where t is 1, else y",
        python="{xp}.where({0} < 1.5, {1}, {2})",
        latex=r"\begin{{cases}}{1} & \text{{if }}{0} = 1 \\ {2} & \text{{otherwise}}\end{{cases}}",
        drawn=False,
        source="the literature: state that does not begin at zero",
    ),
    Primitive(
        name="remainder",
        fn=remainder,
        inputs=_TWO,
        doc="what division of x by y leaves, with the sign of y",
        python="{xp}.remainder({0}, {1})",
        latex=r"\operatorname{{remainder}}\left({0}, {1}\right)",
        drawn=False,
        cost=4.0,
        source="the literature: what is done every so many steps",
    ),
)

CONSTANTS = (
    Primitive("get_pi", get_pi, (), "pi", "{xp}.pi", output=SCALAR, latex=r"\pi"),
    Primitive("get_e", get_e, (), "Euler's number", "{xp}.e", output=SCALAR, latex=r"\mathrm{{e}}"),
    Primitive("get_eps", get_eps, (), "1e-8", "1e-8", output=SCALAR, latex="10^{{-8}}"),
)

BLENDS = (
    Primitive(
        name="interpolate",
        fn=interpolate,
        inputs=(None, None, SCALAR),
        doc="(1 - a) x + a y",
        python="(1.0 - {2}) * {0} + {2} * {1}",
        aliases=("interp",),
        cost=4.0,
        latex=r"{2:*} {1:*} + \left(1 - {2:*}\right) {0:*}",
    ),
    Primitive(
        name="power",
        fn=power,
        inputs=_TWO,
        doc="x^y",
        python="{xp}.power({xp}.where({0} == 0.0, 0.0, {0}), {1})",
        cost=35.0,
        unguarded=(0, "{xp}.power({0}, {1})"),
        latex="{0:^}^{{{1}}}",
    ),
)
