"""Lineage: where the programs of a run come from."""

import networkx

from archive.records import ProgramRecord
from archive.store import Store


def ancestors(store: Store, candidate: int) -> list[ProgramRecord]:
    """Returns the line of descent of a candidate, from the root to the candidate itself.

    The root is a start, or the first whose parent was not stored.

    Raises:
        ValueError: the candidate is not in the store, or a parent is not older than its child.
    """
    record = store.program(candidate)
    if record is None:
        raise ValueError(f"a program must be one that the run stored, got id {candidate}; `pride show` lists some")
    line = [record]
    while record.parent is not None:
        parent = store.program(record.parent)
        if parent is None:
            break
        if parent.id >= record.id:  # would go round for ever
            raise ValueError(f"a parent must be older than its child, got {parent.id} of {record.id}; restore a copy")
        line.append(parent)
        record = parent
    return line[::-1]


def lineage_graph(store: Store) -> networkx.DiGraph:
    """Returns the graph of all stored programs with an edge from each parent to its child.

    Nodes are candidate ids with the attributes `proposer` and `batch`; a parent that was not stored is no node.
    """
    graph = networkx.DiGraph()
    rows = list(store.parents())
    graph.add_nodes_from((candidate, {"proposer": proposer, "batch": batch}) for candidate, _, proposer, batch in rows)
    graph.add_edges_from((parent, candidate) for candidate, parent, _, _ in rows if parent in graph)
    return graph
