"""What breeding costs: proposal, check, keys and fingerprint."""

import gc
import time
from collections.abc import Callable

import numpy as np

from discovery.config import Config
from discovery.proposers import Proposer, Space
from discovery.proposers import load as load_proposer
from discovery.settings import validate
from discovery.starts import load_starts
from evaluators.domain import load
from primitives.canonical import Canonicalizer
from primitives.draws import generator
from primitives.graph import Graph
from primitives.program import Program, key_of
from primitives.text import Writer, parse

LONGEST = 30
"""Most mutations from a start program to one of the population."""


def breeding(config: Config, candidates: int = 4_000) -> dict[str, float]:
    """Times breeding as a worker does it: the check and canonical form of a proposal are remembered for its keys.

    Args:
        config: configuration of a run.
        candidates: number of candidates to breed.

    Returns:
        `breed_microseconds` a candidate (proposal, check, structural and canonical key) and `fingerprint_microseconds`,
        both CPU time.
    """
    domain = load(config.domain)
    parents = [program for program, _ in population(config, 200)]
    canonical = Canonicalizer(domain.vocabulary, domain.dtype, config.max_statements)
    proposer, write = _proposer(config, canonical.key), Writer(domain.vocabulary)
    graphs = []
    gc.freeze()  # as a worker does
    began = time.thread_time()
    for slot in range(candidates):
        child = proposer.propose(parents[slot % len(parents)], generator(0, 0, slot))
        key_of(write(child).encode())
        graphs.append(canonical(child).graph)
    bred = time.thread_time() - began
    graphs = [graph for graph in graphs if domain.refuse(graph) is None]
    began = time.thread_time()
    for graph in graphs:
        domain.fingerprint(graph)
    observed = time.thread_time() - began
    return {"breed_microseconds": 1e6 * bred / candidates, "fingerprint_microseconds": 1e6 * observed / len(graphs)}


def population(config: Config, count: int) -> list[tuple[Program, Graph]]:
    """Returns programs as a search has them, dead statements included, with their canonical forms.

    Each is the end of a walk of 1 to LONGEST mutations from the first start program; a child that can't do the
    domain's job is not taken.
    """
    domain = load(config.domain)
    canonical = Canonicalizer(domain.vocabulary, domain.dtype, config.max_statements)
    proposer = _proposer(config, canonical.key)
    start = parse(load_starts(config)[0], domain.interface, domain.vocabulary)
    rng, programs = np.random.default_rng(0), []
    while len(programs) < count:
        program, graph = start, canonical(start).graph
        for _ in range(int(rng.integers(1, LONGEST + 1))):
            child = proposer.propose(program, rng)
            new = canonical(child).graph
            if domain.refuse(new) is None:
                program, graph = child, new
        programs.append((program, graph))
    return programs


def _proposer(config: Config, key: Callable[[Program], int]) -> Proposer:
    domain = load(config.domain)
    factory = load_proposer(config.proposer.name)
    section = validate(factory.options, config.proposer.options, prefix="proposer.options")
    return factory.build(section, Space(domain.vocabulary, domain.interface, config.max_statements, key))
