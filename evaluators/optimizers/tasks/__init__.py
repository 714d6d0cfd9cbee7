"""The built-in tasks by name; a task is made, and its data are read, only when it is asked for."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from evaluators.optimizers import task
from evaluators.optimizers.task import Task
from evaluators.optimizers.tasks import digits, mnist, tables, terrain, text

SEARCH_TASKS: Mapping[str, Callable[[], Task]] = MappingProxyType(
    {
        "digits_mlp": digits.digits_mlp,
        "digits_autoencoder": digits.digits_autoencoder,
        "char_lm": text.char_lm,
    }
)
"""Makers of the small tasks that a search scores programs on."""

LARGER_TASKS: Mapping[str, Callable[[], Task]] = MappingProxyType(
    {
        "digits_mlp_10x": digits.digits_mlp_10x,
        "digits_autoencoder_10x": digits.digits_autoencoder_10x,
        "char_lm_10x": text.char_lm_10x,
        "digits_mlp_100x": digits.digits_mlp_100x,
        "digits_autoencoder_100x": digits.digits_autoencoder_100x,
        "char_lm_100x": text.char_lm_100x,
    }
)
"""Makers of the search tasks at 10 and 100 times their compute (parameters * steps * batch), on the same data."""

HELD_OUT_TASKS: Mapping[str, Callable[[], Task]] = MappingProxyType(
    {
        "mnist_mlp": mnist.mnist_mlp,
        "mnist_cnn": mnist.mnist_cnn,
        "mnist_autoencoder": mnist.mnist_autoencoder,
        "digits_deep_mlp": digits.digits_deep_mlp,
        "char_lm_large": text.char_lm_large,
        "mnist_deep_mlp": mnist.mnist_deep_mlp,
        "char_transformer": text.char_transformer,
        "digits_vit": digits.digits_vit,
        "terrain_conv": terrain.terrain_conv,
        "breast_cancer_logistic": tables.breast_cancer_logistic,
        "diabetes_regression": tables.diabetes_regression,
    }
)
"""Makers of the larger tasks for evidence and promotion; of their data, search sees digits' training and validation."""


def load_task(name: str) -> Task:
    """Returns the built-in task of that name, or what `package.module:NAME` names.

    Args:
        name: a name in SEARCH_TASKS, LARGER_TASKS or HELD_OUT_TASKS, or `package.module:NAME` of a Task or of a
            function without arguments that makes one; `@batch=16`, `@steps=100` or `@batch=16,steps=100` behind it
            changes these.

    Raises:
        ValueError: there is no such task, what is there is no task, its data are missing or changed, or what stands
            behind the `@` is no such change.
    """
    return task.load(name, {**SEARCH_TASKS, **LARGER_TASKS, **HELD_OUT_TASKS})
