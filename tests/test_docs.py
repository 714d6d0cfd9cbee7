"""What the documentation shows works."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import torch

from archive import library
from evaluators.optimizers import task
from evaluators.optimizers.tasks import HELD_OUT_TASKS, LARGER_TASKS, SEARCH_TASKS

DOCS = Path(__file__).parent.parent / "docs"


def block(page: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{page} must show some {language}"
    return found[1]


def test_the_library_works_as_the_readme_shows_it():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(from archive.library import .*?)```", readme, re.DOTALL)
    model = torch.nn.Linear(3, 1)
    names: dict = {"model": model}
    exec(example, names)  # noqa: S102  (our own documentation)
    before = model.weight.detach().clone()
    model(torch.ones(2, 3)).sum().backward()
    names["opt"].step()
    assert not torch.equal(before, model.weight)
    params = {"w": jnp.ones(3)}
    updates, _ = names["tx"].update(params, names["tx"].init(params), params)
    np.testing.assert_allclose(updates["w"], -1e-4 * (1.0 + 0.1), rtol=1e-5)


def test_the_page_on_the_library_has_every_rule():
    page = (DOCS / "library.md").read_text(encoding="utf-8")
    assert [name for name in library.names() if f"| `{name}` |" not in page] == []


def test_the_template_of_a_task_makes_a_task():
    names: dict = {}
    exec(block("tasks.md", "python"), names)  # noqa: S102  (our own documentation)
    made = task.check(names["two_moons"]())
    parameters = jnp.asarray(made.initial(np.random.default_rng(0)))
    batch = tuple(jnp.asarray(array) for array in made.valid)
    assert abs(float(made.loss(parameters, batch)) - np.log(2)) < 1.0


def test_the_page_on_tasks_names_them_all():
    page = (DOCS / "tasks.md").read_text(encoding="utf-8")
    assert [name for name in (*SEARCH_TASKS, *LARGER_TASKS, *HELD_OUT_TASKS) if f"`{name}`" not in page] == []
