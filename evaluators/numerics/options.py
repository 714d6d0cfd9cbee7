"""The section `evaluation` of a configuration in the domain of numeric functions."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from evaluators.numerics.targets import DIGITS, Metric, target_of

FLOAT64 = 15.0
"""Digits that fits in float64 show."""
BEYOND = 30.0
"""Digits that double-double arithmetic shows."""


class Stage(BaseModel):
    """A level of effort at which constants are fitted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field(description="name of the stage", min_length=1)
    starts: int = Field(
        description="starts of the least squares, beside what the stage before found",
        ge=1,
        le=4096,
        json_schema_extra={"unit": "starts"},
    )
    steps: int = Field(
        description="Levenberg-Marquardt steps of all starts together",
        ge=1,
        le=10_000,
        json_schema_extra={"unit": "steps"},
    )
    kept: int = Field(
        default=1,
        description="best starts that are polished one by one, and handed to the next stage",
        ge=1,
        le=64,
        json_schema_extra={"unit": "starts"},
    )
    polish: int = Field(
        default=0,
        description="steps by orthogonal factors of each start that is kept",
        ge=0,
        le=10_000,
        json_schema_extra={"unit": "steps"},
    )
    minimax: int = Field(
        default=0,
        description="steps that turn the least squares of each start that is kept into the smallest maximum, if any",
        ge=0,
        le=1_000,
        json_schema_extra={"unit": "steps"},
    )


class Options(BaseModel):
    """How approximations are judged."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    target: str = Field(
        default="exp2",
        description="the function to approximate: a built-in target, or package.module:NAME of a function f(mp, x)",
    )
    interval: str | None = Field(
        default=None, description="where, such as (0, 1]; an open end is no part of it; null means the target's own"
    )
    error: Metric | None = Field(
        default=None,
        description="relative (|y - f| / |f|) or absolute (|y - f|), the maximum on the interval; null means the "
        "target's own",
    )
    arithmetic: Literal["real", "float32"] = Field(
        default="real",
        description="real: the error of exact arithmetic; float32: that of the program run in float32, in ULP",
    )
    digits: float = Field(
        default=BEYOND,
        description="digits beyond which an approximation gets no better score",
        gt=0.0,
        le=float(DIGITS),
        json_schema_extra={"unit": "decimal digits"},
    )
    nodes: int = Field(
        default=40,
        description="Chebyshev nodes of the least squares",
        ge=8,
        le=4096,
        json_schema_extra={"unit": "nodes"},
    )
    grid: int = Field(
        default=200,
        description="points on which the largest error is looked for",
        ge=16,
        le=65_536,
        json_schema_extra={"unit": "points"},
    )
    stages: tuple[Stage, ...] = Field(
        default=(
            Stage(name="quick", starts=96, steps=20, kept=2),
            Stage(name="firm", starts=8, steps=15, kept=1, polish=20),
            Stage(name="minimax", starts=64, steps=20, kept=2, polish=40, minimax=30),
        ),
        description="from cheap to costly; a program below the hurdle of a stage stops there",
        min_length=1,
        max_length=8,
    )

    @field_validator("interval", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """In YAML a closed interval, [0, 1], is a list of two numbers."""
        is_pair = isinstance(value, list | tuple) and len(value) == 2
        return f"[{value[0]}, {value[1]}]" if is_pair else value

    @model_validator(mode="after")
    def _consistent(self) -> "Options":
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages must be named once each, got {names}")
        goes_beyond = any(stage.minimax for stage in self.stages)
        if self.arithmetic == "real" and self.digits > (BEYOND if goes_beyond else FLOAT64):
            what, most = ("double-double arithmetic", BEYOND) if goes_beyond else ("float64", FLOAT64)
            more = "" if goes_beyond else ", or give a stage `minimax` steps, which go beyond"
            raise ValueError(
                f"digits must be at most the {most:g} that {what} shows, got {self.digits:g}; lower it{more}"
            )
        target_of(self.target, self.interval, self.error)  # tried before a run begins
        return self
