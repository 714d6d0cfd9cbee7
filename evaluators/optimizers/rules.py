"""How a training run executes update rules: any program as data, many side by side, or one that is compiled."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers.task import Task
from primitives.compile import compile_step
from primitives.encode import Capacity, Encoded
from primitives.graph import Graph
from primitives.interpreter import Machine
from primitives.primitive import Scope, Vocabulary
from primitives.program import Interface
from primitives.reference import zero_state

_INTERPRETED = ("w", "g", "lr", "t")
"""Inputs that the interpreter is given: what costs more than the gradient is for programs that are compiled."""

Carry: TypeAlias = Any
"""What a rule carries from step to step (a JAX pytree), the parameters included."""


class Rule(Protocol):
    """How a training run executes update rules."""

    @property
    def inputs(self) -> Collection[str]:
        """What a step may ask for, beside the parameters."""
        ...

    def start(self, program: Any, weights: jax.Array) -> Carry:
        """Returns the carry before the first step; weights (lanes, D)."""
        ...

    def weights(self, carry: Carry) -> jax.Array:
        """Returns the parameters (lanes, D)."""
        ...

    def step(self, program: Any, carry: Carry, given: Mapping[str, jax.Array]) -> Carry:
        """Takes one step, given the inputs by name: TENSOR (lanes, D), SCALAR (lanes,), t from 1 0-d."""
        ...


class Interpreted:
    """Any program of the vocabulary, given as data; `program` is an `Encoded`.

    Args:
        machine: the interpreter.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.inputs = (*machine.tensor_inputs, *machine.small_inputs)
        self._w = machine.tensor_inputs["w"]

    def start(self, program: Encoded, weights: jax.Array) -> Carry:
        """Returns the register files, parameters and constants in place."""
        tensors, smalls = self.machine.initial(program, weights.shape[0])
        return tensors.at[self._w].set(weights), smalls

    def weights(self, carry: Carry) -> jax.Array:
        """Returns the register of the parameters."""
        return carry[0][self._w]

    def step(self, program: Encoded, carry: Carry, given: Mapping[str, jax.Array]) -> Carry:
        """Runs the program once."""
        tensors, smalls = carry
        tensors, smalls = self.machine.set_inputs(tensors, smalls, given)
        tensors, smalls = self.machine.step(program, tensors, smalls)
        update = jax.lax.dynamic_index_in_dim(tensors, program.output, 0, keepdims=False)
        return tensors.at[self._w].add(-update), smalls


class SideBySide:
    """Many programs of the vocabulary, given as data; `program` is an `Encoded` of aligned ones with a leading axis.

    The lanes are those of the first program, then those of the second, and so on.

    Args:
        machine: the interpreter.
        programs: number of programs.
    """

    def __init__(self, machine: Machine, programs: int) -> None:
        self.machine, self._programs = machine, programs
        self.inputs = (*machine.tensor_inputs, *machine.small_inputs)
        self._w = machine.tensor_inputs["w"]

    def _apart(self, lanes: jax.Array) -> jax.Array:
        return lanes.reshape(self._programs, -1, *lanes.shape[1:])

    def start(self, program: Encoded, weights: jax.Array) -> Carry:
        """Returns the register files of all programs, parameters and constants in place."""
        weights = self._apart(weights)
        tensors, smalls = jax.vmap(lambda one: self.machine.initial(one, weights.shape[1]))(program)
        return tensors.at[:, self._w].set(weights), smalls

    def weights(self, carry: Carry) -> jax.Array:
        """Returns the registers of the parameters."""
        weights = carry[0][:, self._w]
        return weights.reshape(-1, weights.shape[-1])

    def step(self, program: Encoded, carry: Carry, given: Mapping[str, jax.Array]) -> Carry:
        """Runs every program once."""
        own = {name: self._apart(value) for name, value in given.items() if value.ndim}
        common = {name: value for name, value in given.items() if not value.ndim}
        fill = jax.vmap(lambda tensors, smalls, own: self.machine.set_inputs(tensors, smalls, {**own, **common}))
        tensors, smalls = carry
        tensors, smalls = fill(tensors, smalls, own)
        tensors, smalls = self.machine.step_all(program, tensors, smalls)
        update = jax.vmap(lambda file, output: jax.lax.dynamic_index_in_dim(file, output, 0, keepdims=False))(
            tensors, program.output
        )
        return tensors.at[:, self._w].add(-update), smalls


class Compiled:
    """One program, compiled: costs a compilation and then runs at full speed; `program` is ignored.

    Args:
        graph: the program.
        vocabulary: its primitives.
        task: the task, for its layout.
    """

    def __init__(self, graph: Graph, vocabulary: Vocabulary, task: Task) -> None:
        self._graph, self.inputs = graph, graph.inputs
        # batched decompositions wait for threads of a pool that they fill themselves: on two cores for ever
        self._matrices = any(vocabulary[node.op].matrices for node in graph.nodes)
        self._step = compile_step(graph, vocabulary, task.layout)
        self._layout = task.layout

    def start(self, program: Any, weights: jax.Array) -> Carry:
        """Returns parameters and state."""
        state = zero_state(self._graph, self._layout, np.float32)
        return weights, tuple(jnp.broadcast_to(zeros, (len(weights), *np.shape(zeros))) for zeros in state)

    def weights(self, carry: Carry) -> jax.Array:
        """Returns the parameters."""
        return carry[0]

    def step(self, program: Any, carry: Carry, given: Mapping[str, jax.Array]) -> Carry:
        """Takes one step of the program, lane by lane."""

        def lane(w: jax.Array, state: Any, own: Mapping[str, jax.Array]) -> Any:
            values = {"w": w, "t": given["t"].astype(w.dtype), **own}
            (update,), following = self._step({name: values[name] for name in self._graph.inputs}, state)
            return w - update, tuple(following)

        weights, state = carry
        own = {name: value for name, value in given.items() if name != "t"}
        if self._matrices:
            return jax.lax.map(lambda of: lane(*of), (weights, state, own))
        return jax.vmap(lane)(weights, state, own)


def interpreter(task: Task, vocabulary: Vocabulary, interface: Interface, capacity: Capacity) -> Machine:
    """Returns the interpreter of a task, for programs with the inputs that it is given."""
    given = tuple((name, kind) for name, kind in interface.inputs if name in _INTERPRETED)
    return Machine(vocabulary, replace(interface, inputs=given), task.layout, capacity)


def usual(vocabulary: Vocabulary) -> Vocabulary:
    """Returns what most programs are made of: primitives that mutation draws, and all element-wise ones.

    The others, which few published rules use, are a fifth of what there is to compile: an interpreter that has them
    too waits until one of these rules comes.
    """
    return Vocabulary(tuple(one for one in vocabulary.primitives if one.drawn or one.scope is Scope.ELEMENT))
