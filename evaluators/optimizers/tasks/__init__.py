"""The built-in tasks by name; a task is made, and its data are read, only when it is asked for."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from evaluators.optimizers import task
from evaluators.optimizers.task import Task
from evaluators.optimizers.tasks import digits, mnist, tables, text

SEARCH_TASKS: Mapping[str, Callable[[], Task]] = MappingProxyType(
    {
        "digits_mlp": digits.digits_mlp,
        "digits_autoencoder": digits.digits_autoencoder,
        "char_lm": text.char_lm,
    }
)
"""Makers of the small tasks that a search scores programs on."""

HELD_OUT_TASKS: Mapping[str, Callable[[], Task]] = MappingProxyType(
    {
        "mnist_mlp": mnist.mnist_mlp,
        "mnist_cnn": mnist.mnist_cnn,
        "mnist_autoencoder": mnist.mnist_autoencoder,
        "digits_deep_mlp": digits.digits_deep_mlp,
        "char_lm_large": text.char_lm_large,
        "breast_cancer_logistic": tables.breast_cancer_logistic,
        "diabetes_regression": tables.diabetes_regression,
    }
)
"""Makers of the larger tasks for evidence and promotion; of their data, search sees digits' training and validation."""


def load_task(name: str) -> Task:
    """Returns the built-in task of that name, or what `package.module:NAME` names.

    Args:
        name: a name in SEARCH_TASKS or HELD_OUT_TASKS, or `package.module:NAME` of a Task or of a function without
            arguments that makes one.

    Raises:
        ValueError: there is no such task, what is there is no task, or its data are missing or changed.
    """
    return task.load(name, {**SEARCH_TASKS, **HELD_OUT_TASKS})
