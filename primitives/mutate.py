"""Building blocks of mutation: a program in, a changed program out.

Chen et al. 2023 mutate in three ways, each with probability 1/3: insert a random statement at a random place, delete
a random statement, modify one argument of a random statement. Which statement, which arguments and which target the
paper leaves open; what is chosen here stands in each function's text. Every child has its variables in scope by
construction. Kinds can still be wrong (a variable that a later statement wants as a SCALAR became a TENSOR), so a
child counts as a program only when `primitives.graph.check` takes it: `mutate` draws until it does.

References:
    Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, section 2 and appendix.
"""

from collections.abc import Callable, Sequence
from itertools import chain, count

from primitives.draws import Draws, draw_statement, draw_variable, new_name, rescale, variables
from primitives.graph import check_kinds
from primitives.kinds import SCALAR, lifts
from primitives.primitive import Vocabulary
from primitives.program import COPY, Interface, Program, ProgramError, Signature, Statement

CONNECT = 0.5
"""Share of inserted statements whose target is a live variable."""
WRAP = 0.5
"""Share of connected insertions that also read the target: `update = sign(update)` keeps what flowed there."""


def insert_statement(
    program: Program, vocabulary: Vocabulary, draws: Draws, max_statements: int = 1_000, connect: float = CONNECT
) -> Program | None:
    """Inserts a random statement at a random place.

    The place is uniform over the n + 1 gaps, the operation uniform over the executable primitives. The target is with
    probability `connect` a variable that is live there (what the outputs are computed from; half of these statements
    read their target too), else in equal parts any variable of the program, inputs included, or a new name. An
    argument is a variable in scope, or a constant: in equal parts a fresh one from N(0, 1) and one that the program
    already has.

    Args:
        program: a program in which every variable is in scope.
        vocabulary: primitives to choose from; it must hold the operations of `program`.
        draws: random numbers.
        max_statements: a program of this many statements grows no more.
        connect: probability that the target is live, 0 to 1.

    Returns:
        The child; None at the limit, or where the drawn primitive finds no argument of the kind it needs.
    """
    statements = program.statements
    if len(statements) >= max_statements:
        return None
    place = draws.below(len(statements) + 1)
    roll = draws.uniform()
    live = _live(program, place) if roll < connect else []
    known = live or (variables(program, len(statements)) if roll < (1.0 + connect) / 2.0 else [])
    target = draws.choice(known) if known else new_name(program)
    reads = target if live and draws.uniform() < WRAP else None
    statement = draw_statement(program, place, target, vocabulary, draws, reads)
    if statement is None:
        return None
    return Program(program.signature, (*statements[:place], statement, *statements[place:]), program.name)


def delete_statement(program: Program, draws: Draws) -> Program | None:
    """Deletes a statement, uniform over those whose deletion leaves every variable that is read with a value.

    Returns:
        The child, one statement shorter; None where no statement can go.
    """
    statements = program.statements
    places = list(range(len(statements)))
    while places:
        place = places.pop(draws.below(len(places)))
        if _deletable(program, place):
            return Program(program.signature, statements[:place] + statements[place + 1 :], program.name)
    return None


def modify_argument(program: Program, vocabulary: Vocabulary, draws: Draws) -> Program | None:
    """Changes one argument of one statement.

    The statement is uniform over those that have arguments, the argument uniform over its own. A variable becomes
    another variable in scope (probability 3/4) or a fresh constant from N(0, 1) (1/4); a constant is scaled as by
    `scale_constant` (1/2), drawn anew (1/4) or becomes a variable (1/4); 0, which no factor moves, counts as a
    variable here. Where one way is closed another is taken.

    Args:
        program: a program in which every variable is in scope.
        vocabulary: it must hold the operations of `program`.
        draws: random numbers.

    Returns:
        The child; None where there is no argument, or nothing else that could stand there.
    """
    statements = program.statements
    places = [place for place, statement in enumerate(statements) if statement.args]
    if not places:
        return None
    place = draws.choice(places)
    _, op, args = statements[place]
    slot = draws.below(len(args))
    old = args[slot]
    wanted = None if op == COPY else vocabulary[op].inputs[slot]
    roll = draws.uniform()
    new: str | float | None = None
    if not isinstance(old, str) and old != 0.0 and roll >= 0.5:
        new = rescale(old, draws)
    elif roll >= 0.25 or (wanted is not None and not lifts(SCALAR, wanted)):
        others = [name for name in variables(program, place) if name != old]
        new = draw_variable(program, place, others, wanted, vocabulary, draws)
    if new is None and (wanted is None or lifts(SCALAR, wanted)):
        new = draws.normal()
    return None if new is None else _with_argument(program, place, slot, new)


def scale_constant(program: Program, draws: Draws) -> Program | None:
    """Scales one constant, uniform over all that are not 0: c becomes c 2^z with z from N(0, 1).

    For c in (1/2, 1), a decay rate perhaps, it is with probability 1/2 the distance from 1 that is scaled:
    1 - c becomes (1 - c) 2^z, which moves 0.999 to 0.998 as easily as 0.9 to 0.8; the result stays below 1.

    Returns:
        The child: the same program but for that constant; None where there is no constant to scale.
    """
    places = [
        (place, slot)
        for place, statement in enumerate(program.statements)
        for slot, arg in enumerate(statement.args)
        if not isinstance(arg, str) and arg != 0.0
    ]
    if not places:
        return None
    place, slot = draws.choice(places)
    old = program.statements[place].args[slot]
    new = rescale(float(old), draws)
    return None if new is None else _with_argument(program, place, slot, new)


def mutate(
    program: Program,
    vocabulary: Vocabulary,
    draws: Draws,
    max_statements: int = 1_000,
    connect: float = CONNECT,
    accept: Callable[[Program], bool] | None = None,
    tries: int = 20,
) -> Program | None:
    """Inserts, deletes or modifies, each with probability 1/3, until `accept` takes the child.

    A refused child is drawn again in the same way, so that the three stay equally frequent, and in another way only
    after `tries` refusals.

    Args:
        program: a program that the check takes.
        vocabulary: primitives to choose from.
        draws: random numbers.
        max_statements: a program of this many statements grows no more.
        connect: probability that an inserted statement's target is live, 0 to 1.
        accept: whether a child will do; None means that the static check takes it.
        tries: children drawn in one way before another way is tried, at least 1.

    Returns:
        The child; None where no way gave one.
    """
    ways = [0, 1, 2]
    while ways:
        way = ways.pop(draws.below(len(ways)))
        for _ in range(tries):
            if way == 0:
                child = insert_statement(program, vocabulary, draws, max_statements, connect)
            elif way == 1:
                child = delete_statement(program, draws)
            else:
                child = modify_argument(program, vocabulary, draws)
            if child is not None and (accept(child) if accept else is_valid(child, vocabulary, max_statements)):
                return child
    return None


def random_program(
    signature: Signature, statements: int, vocabulary: Vocabulary, draws: Draws, name: str = "train"
) -> Program | None:
    """Builds a program of random statements, each with arguments in scope; the last ones assign the outputs.

    Args:
        signature: inputs and outputs.
        statements: length, at least the number of outputs that are no input.
        vocabulary: primitives to choose from.
        draws: random numbers.
        name: the program's name.

    Returns:
        The program, which the check may still refuse for its kinds; None where a primitive found no argument.

    Raises:
        ValueError: too few statements for the outputs.
    """
    given = [name for name, _ in signature.inputs]
    missing = [name for name, _ in signature.outputs if name not in given]
    if statements < len(missing):
        raise ValueError(
            f"a program must have a statement for each of {', '.join(missing)}, got {statements}; allow more statements"
        )
    program = Program(signature, (), name)
    for place in range(statements):
        left = statements - place
        known = missing[-left:][:1] if left <= len(missing) else variables(program, place)
        target = draws.choice(known) if known and (left <= len(missing) or draws.uniform() < 0.5) else new_name(program)
        statement = draw_statement(program, place, target, vocabulary, draws, None)
        if statement is None:
            return None
        program = Program(signature, (*program.statements, statement), name)
    return program


def adopt(program: Program, interface: Interface, states: int, inputs: Sequence[str]) -> Program:
    """Widens a start program's signature, so that mutations may use state and inputs that it leaves out.

    The order becomes the interface's; state stands behind the last input of its kind (`w, g, m, v, lr`). New state is
    named m, v, s3, s4 ..., names that the program uses otherwise left out. What the program computes stays the same:
    new state is handed on as zero.

    Args:
        program: a program of the interface.
        interface: the domain's signatures.
        states: number of state variables to have; a program that has more keeps them.
        inputs: data inputs to have, beside those that the program has.

    Returns:
        The program with the wider signature, its statements unchanged.

    Raises:
        ProgramError: an input that the interface does not know, more state than it allows.
    """
    state = list(program.signature.state)
    own = [name for name, _ in program.signature.inputs if name not in state]
    known = [name for name, _ in interface.inputs]
    for name in inputs:
        if name not in known:
            raise ProgramError(f"an input must be one of {', '.join(known)}, got {name!r}; correct the list of inputs")
    order = [name for name in known if name in own or name in inputs]
    used = {*variables(program, len(program.statements)), *known, *(name for name, _ in interface.outputs)}
    free = (name for name in chain(("m", "v"), (f"s{k}" for k in count(3))) if name not in used)
    while len(state) < states:
        state.append(next(free))
    kinds = dict(interface.inputs)
    alike = [place for place, name in enumerate(order, start=1) if kinds[name] in interface.state[:1]]
    behind = alike[-1] if alike else len(order)
    outputs = [name for name, _ in interface.outputs]
    own_kinds = [(name, kind) for name, kind in program.signature.outputs if name in state]
    own_kinds += [(name, interface.state[0]) for name in state if name not in dict(own_kinds)]
    signature = interface.signature([*order[:behind], *state, *order[behind:]], [*outputs, *state], own_kinds)
    return Program(signature, program.statements, program.name)


def is_valid(program: Program, vocabulary: Vocabulary, max_statements: int = 1_000) -> bool:
    """Returns whether the static check takes the program."""
    try:
        check_kinds(program, vocabulary, max_statements)
    except ProgramError:
        return False
    return True


def _with_argument(program: Program, place: int, slot: int, value: str | float) -> Program:
    statements = program.statements
    target, op, args = statements[place]
    changed = Statement(target, op, (*args[:slot], value, *args[slot + 1 :]))
    return Program(program.signature, (*statements[:place], changed, *statements[place + 1 :]), program.name)


def _live(program: Program, place: int) -> list[str]:
    """Variables whose value at `place` outputs are computed from (state counts as an output).

    One backward pass: a name is live before a statement that reads it for a live target. The order is a dict's, by
    insertion, for the order of a set of strings changes from process to process.
    """
    live = dict.fromkeys([name for name, _ in program.signature.outputs])
    for target, _, args in reversed(program.statements[place:]):
        if target in live:
            del live[target]
            for arg in args:
                if isinstance(arg, str):
                    live[arg] = None
    return list(live)


def _deletable(program: Program, place: int) -> bool:
    """Whether every variable that is read keeps a value when the statement at `place` goes."""
    statements = program.statements
    name = statements[place].target
    for given, _ in program.signature.inputs:
        if given == name:
            return True
    for statement in statements[:place]:
        if statement.target == name:
            return True
    for statement in statements[place + 1 :]:
        if name in statement.args:
            return False
        if statement.target == name:
            return True
    return all(name != output for output, _ in program.signature.outputs)
