"""What the documentation shows works."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from evaluators.optimizers import task
from evaluators.optimizers.tasks import HELD_OUT_TASKS, SEARCH_TASKS

DOCS = Path(__file__).parent.parent / "docs"


def block(page: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{page} must show some {language}"
    return found[1]


def test_the_template_of_a_task_makes_a_task():
    names: dict = {}
    exec(block("tasks.md", "python"), names)  # noqa: S102  (our own documentation)
    made = task.check(names["two_moons"]())
    parameters = jnp.asarray(made.initial(np.random.default_rng(0)))
    batch = tuple(jnp.asarray(array) for array in made.valid)
    assert abs(float(made.loss(parameters, batch)) - np.log(2)) < 1.0


def test_the_page_on_tasks_names_them_all():
    page = (DOCS / "tasks.md").read_text(encoding="utf-8")
    assert [name for name in (*SEARCH_TASKS, *HELD_OUT_TASKS) if f"`{name}`" not in page] == []
