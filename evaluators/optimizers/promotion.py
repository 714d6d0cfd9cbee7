"""The section `promotion` of a configuration in the domain of optimizers: what a rule must do to enter a library."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

RATES = tuple(10.0 ** (half / 2) for half in range(-12, 1))
"""Half decades from 10^-6 to 1: a rule that takes the root of its learning rate wants the square of the usual ones."""

PHASES = ("choice", "simplify", "held-out", "constants")
"""What a promotion does beside its stages."""

LEAST = 1e-4
"""The smallest p-value of a sign-flip test that draws its signs: 1 / (1 + `evaluators.statistics.RESAMPLES`)."""

_Rate = Annotated[float, Field(gt=0.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Stage(_Section):
    """A stage of the funnel: rules that beat the reference on its tasks go on."""

    name: str = Field(description="name of the stage", min_length=1)
    tasks: tuple[str, ...] | None = Field(
        default=None,
        description="its tasks, built-in names or package.module:NAME; null means those of the search",
        min_length=1,
    )
    keep: int | None = Field(
        default=None,
        description="rules that go on at most, the best first; null means all that beat the reference",
        ge=1,
        json_schema_extra={"unit": "rules"},
    )


class Gate(_Section):
    """What passes: better than the best tuned baseline on the median task, and significantly on more than worse.

    Both must hold with constants as they were found and published, and with the constants of all rules tuned. Variants
    of one task (`mnist_mlp@batch=16`) count as one task, by their mean.
    """

    against: tuple[str, ...] | None = Field(
        default=None, description="baselines that the gate compares with; null means all of them", min_length=1
    )
    gain: float = Field(
        default=0.0,
        description="log(best baseline's test loss / the rule's) must be above this on the median task",
        ge=-2.0,
        lt=2.0,
    )
    lead: int = Field(
        default=1,
        description="tasks where the rule is significantly better, minus those where it is worse, at least",
        ge=0,
        json_schema_extra={"unit": "tasks"},
    )


class Promotion(_Section):
    """How the elites of a run are promoted."""

    top: int = Field(
        default=20,
        description="elites that enter, from different cells of the archive",
        ge=1,
        le=10_000,
        json_schema_extra={"unit": "elites"},
    )
    replicates: int = Field(
        default=12,
        description="fresh replicates that a simpler form of a rule is judged on",
        ge=4,
        le=500,
        json_schema_extra={"unit": "replicates"},
    )
    margin: float = Field(
        default=0.01,
        description="mean score that all simplifications of a rule may cost together",
        ge=0.0,
        le=1.0,
        json_schema_extra={"unit": "score"},
    )
    stages: tuple[Stage, ...] = Field(
        default=(
            Stage(name="proxy"),
            Stage(name="10x", tasks=("digits_mlp_10x", "digits_autoencoder_10x", "char_lm_10x"), keep=6),
            Stage(name="100x", tasks=("digits_mlp_100x", "digits_autoencoder_100x", "char_lm_100x"), keep=4),
        ),
        description="the stages before the held-out tasks, from cheap to costly, all of fresh seeds",
        max_length=8,
    )
    held_out: tuple[str, ...] = Field(
        default=(
            "mnist_mlp",
            "mnist_mlp@batch=16",
            "mnist_mlp@batch=256,steps=100",
            "mnist_cnn",
            "mnist_deep_mlp",
            "char_transformer",
            "terrain_conv",
            "digits_vit",
            "breast_cancer_logistic",
        ),
        description="tasks that decide; no search and no stage may use them",
        min_length=1,
    )
    baselines: tuple[str, ...] = Field(
        default=("adamw", "nadamw", "nesterov", "heavy_ball", "lion", "muon"),
        description="rules of the library that the finalists compare with; the first is the reference of the stages",
        min_length=1,
    )
    rates: tuple[_Rate, ...] = Field(
        default=RATES, description="learning rates of the sweep, ascending", min_length=1, max_length=64
    )
    decays: tuple[Annotated[float, Field(ge=0.0)], ...] = Field(
        default=(0.0, 0.1, 1.0, 10.0),
        description="weight decays of the sweep, decoupled and outside of every rule, zero among them",
        min_length=1,
        max_length=16,
    )
    constants: int = Field(
        default=13,
        description="settings of its constants that each rule tries for the second table, its own first; 0 tunes none",
        ge=0,
        le=1000,
        json_schema_extra={"unit": "settings"},
    )
    seeds: int = Field(
        default=20,
        description="fresh seeds of a report at most; losers and winners are known sooner",
        ge=2,
        le=1000,
        json_schema_extra={"unit": "seeds"},
    )
    block: int = Field(
        default=5,
        description="seeds between two looks of a race",
        ge=2,
        le=64,
        json_schema_extra={"unit": "seeds"},
    )
    checkpoints: int = Field(
        default=20,
        description="points of the curves that steps to target are read from",
        ge=1,
        le=1000,
        json_schema_extra={"unit": "points"},
    )
    confidence: float = Field(default=0.95, description="of intervals, races and tests", gt=0.5, lt=1.0)
    slowdown: float = Field(
        default=4.0,
        description="a rule that takes more than this times the reference's time on a stage's task is dropped",
        gt=1.0,
        le=1000.0,
        json_schema_extra={"unit": "times"},
    )
    gate: Gate = Field(default=Gate(), description="What passes")

    @model_validator(mode="after")
    def _consistent(self) -> "Promotion":
        if any(b <= a for a, b in pairwise(self.rates)):
            raise ValueError(f"promotion.rates must ascend, got {list(self.rates)}; sort them")
        if 0.0 not in self.decays or len(set(self.decays)) < len(self.decays):
            raise ValueError(f"promotion.decays must have zero and each once, got {list(self.decays)}; mend the list")
        if self.seeds % self.block:
            raise ValueError(
                f"promotion.seeds must be whole blocks of {self.block} seeds, got {self.seeds}; change one of them"
            )
        self._check_gate()
        names = [stage.name for stage in self.stages]
        taken = next((name for name in names if name in PHASES), None)
        if taken is not None:
            raise ValueError(f"promotion.stages must not be named like a phase ({', '.join(PHASES)}), got {taken!r}")
        for what, found in (("stages", names), ("held_out", self.held_out), ("baselines", self.baselines)):
            if len(set(found)) < len(found):
                raise ValueError(f"promotion.{what} must name each once, got {list(found)}; remove one")
        used = {task.partition("@")[0] for stage in self.stages for task in stage.tasks or ()}
        shared = [task for task in self.held_out if task.partition("@")[0] in used]
        if shared:
            raise ValueError(f"promotion.held_out must be apart from the stages, got {shared[0]!r} in both; remove one")
        return self

    def after(self, searched: Sequence[str]) -> "Promotion":
        """Returns the settings with the tasks of a search where a stage names none."""
        stages = [one if one.tasks else one.model_copy(update={"tasks": tuple(searched)}) for one in self.stages]
        return self.model_copy(update={"stages": tuple(stages)})

    def _check_gate(self) -> None:
        foreign = [name for name in self.gate.against or () if name not in self.baselines]
        if foreign:
            raise ValueError(
                f"promotion.gate.against must be among the baselines {', '.join(self.baselines)}, got {foreign[0]!r}"
            )
        different = len({task.partition("@")[0] for task in self.held_out})
        if self.gate.lead > different:
            raise ValueError(
                f"promotion.gate.lead must be one that a rule can reach, at most the {different} held-out tasks "
                f"(variants as one), got {self.gate.lead}; lower it"
            )
        # the smallest p-value of a sign-flip test, and Holm's correction for all finalists on all tasks
        finalists = min([self.top, *(stage.keep for stage in self.stages if stage.keep is not None)])
        least = max(2.0 ** (1 - self.seeds), LEAST) * len(self.held_out) * finalists
        if self.gate.lead > 0 and least > 1.0 - self.confidence:
            raise ValueError(
                f"promotion.gate must be one that a rule can pass, got {self.seeds} seeds, with which nothing is "
                f"significant for {finalists} finalists on {len(self.held_out)} tasks; raise promotion.seeds, lower "
                f"promotion.confidence or keep fewer"
            )
