"""Tasks on small medical tables of scikit-learn, all held out."""

import jax
import jax.numpy as jnp

from evaluators.optimizers import data
from evaluators.optimizers.task import LARGE_LEARNING_RATES, Batch, Task
from evaluators.optimizers.tasks.networks import classifier, dense, forward, normal


def breast_cancer_logistic() -> Task:
    """Malignant or benign by logistic regression from 30 standardized features (62 parameters): a convex problem."""
    layout = dense(30, 2)
    features, labels = data.breast_cancer()
    parts = data.split(len(features), "breast_cancer")
    train, valid, test = data.take(parts, data.standardize(features, features[parts[0]]), labels)
    return Task(
        name="breast_cancer_logistic",
        layout=layout,
        initial=normal(layout, [1]),
        loss=classifier(layout, jnp.tanh),
        train=train,
        valid=valid,
        test=test,
        batch=32,
        steps=300,
        learning_rates=LARGE_LEARNING_RATES,
        doc="logistic regression, Wisconsin breast cancer; cross-entropy in nats",
    )


def diabetes_regression() -> Task:
    """Disease progression from 10 features with one hidden layer of 32 tanh (385 parameters)."""
    layout = dense(10, 32, 1)

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        features, targets = batch
        errors = forward(layout.split(flat), features, jnp.tanh)[..., 0] - targets
        return jnp.mean(errors * errors)

    features, targets = data.diabetes()
    parts = data.split(len(features), "diabetes")
    scaled = [data.standardize(columns, columns[parts[0]]) for columns in (features, targets)]
    train, valid, test = data.take(parts, *scaled)
    return Task(
        name="diabetes_regression",
        layout=layout,
        initial=normal(layout, [1, 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=32,
        steps=300,
        learning_rates=LARGE_LEARNING_RATES,
        doc="MLP 10-32-1, tanh, diabetes; squared error, the variance of the training targets is 1",
    )
