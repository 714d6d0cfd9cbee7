"""The section `evaluation` of a configuration in the domain of optimizers."""

from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from primitives.encode import Capacity

_BUILT_IN = Capacity()

VALIDATION_TASKS = ("digits_mlp_10x", "digits_autoencoder_10x", "char_lm_10x")
"""Larger tasks that tell whether a search overfits; where they end a run, they are no evidence for what it found."""


class Stage(BaseModel):
    """A stage: every task with a share of its steps, from one or several seeds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field(description="name of the stage", min_length=1)
    share: float = Field(description="share of each task's steps (schedule and all)", gt=0.0, le=1.0)
    seeds: int = Field(
        default=1,
        description="initial parameters and batch orders that a rule is trained from; the loss is their mean",
        ge=1,
        le=64,
        json_schema_extra={"unit": "seeds a replicate"},
    )


def _room(default: int, description: str, unit: str) -> Any:
    return Field(default=default, description=description, ge=32, le=1024, json_schema_extra={"unit": unit})


class Limits(BaseModel):
    """What the interpreter has room for (`primitives.encode.Capacity`); a program that needs more is invalid.

    The least has room for every rule of the library and for the baselines. Tensor registers decide the memory: each
    holds the parameters once a lane.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tensors: int = _room(
        _BUILT_IN.tensors, "live values as large as the parameters, w, g and all possible state included", "registers"
    )
    smalls: int = _room(
        _BUILT_IN.smalls,
        "live values of one number a model or a parameter tensor, constants, lr and t included",
        "registers",
    )
    instructions: int = _room(
        _BUILT_IN.instructions, "instructions on the values of each of these two sorts", "instructions"
    )


class Options(BaseModel):
    """How update rules are judged."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    tasks: tuple[str, ...] = Field(
        default=("digits_mlp", "digits_autoencoder", "char_lm"),
        description="training problems that score a rule: built-in names or package.module:NAME",
        min_length=1,
        max_length=64,
    )
    validation_tasks: tuple[str, ...] = Field(
        default=VALIDATION_TASKS,
        description="larger training problems that breeding never sees, for the section validation; named like tasks",
        min_length=1,
        max_length=64,
    )
    learning_rates: tuple[Annotated[float, Field(gt=0.0)], ...] | None = Field(
        default=None,
        description="lanes, ascending; null means each task's own grid",
        min_length=1,
        max_length=64,
    )
    stages: tuple[Stage, ...] = Field(
        default=(
            Stage(name="short", share=0.25),
            Stage(name="full", share=1.0),
            Stage(name="firm", share=1.0, seeds=3),
        ),
        description="from cheap to costly; a rule below the hurdle of a stage stops there",
        min_length=1,
        max_length=8,
    )
    capacity: Limits = Field(
        default=Limits(), description="what the interpreter has room for; rules that need more are invalid"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Options":
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names) or len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks and stages must be named once each, got {list(self.tasks)} and {names}")
        if len(set(self.validation_tasks)) < len(self.validation_tasks):
            raise ValueError(f"validation_tasks must be named once each, got {list(self.validation_tasks)}")
        rates = self.learning_rates or (1.0,)
        if any(b <= a for a, b in pairwise(rates)):
            raise ValueError(f"learning rates must ascend, got {list(rates)}; sort them")
        return self
