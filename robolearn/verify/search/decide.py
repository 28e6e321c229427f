"""The answer to a property: first a search for a counterexample, then a proof, within one budget of time."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from robolearn.verify.graph import Graph
from robolearn.verify.lowering import lower
from robolearn.verify.network import Network
from robolearn.verify.property import Case, Property
from robolearn.verify.rounding import Precision
from robolearn.verify.search.attack import Attack, falsify, replay
from robolearn.verify.search.input_split import search_inputs
from robolearn.verify.search.relu_split import knotted, search_activations
from robolearn.verify.search.verdict import Verdict, Witness

MOST_INPUTS = 14  # that are cut; every further one doubles the boxes
FIRST = Attack(restarts=16, steps=4)  # finds all that the 100 violated properties of rl_benchmarks ask for, in 6 ms


def decide(
    network: Network,
    asked: Property,
    *,
    seconds: float = 60.0,
    attack: Attack | None = None,
    precision: Precision = "exact",
) -> Verdict:
    """Prove a property, find a counterexample, or say how far both came.

        verdict = decide(network, read_property("P.vnnlib", network.input_size, network.output_size), seconds=10)
        assert verdict.answer in ("sat", "unsat", "unknown")

    A counterexample is one of the network in its own precision. A proof is about all real numbers in the boxes, and
    about what they are rounded to; with ``precision`` exact about the network in real numbers, with float32 about what
    is computed of it.

    Args:
        network: That is asked about.
        asked: The property.
        seconds: Wall time for all cases together.
        attack: How long counterexamples are searched before; by default a moment, as the proof meets them too.
        precision: What a proof is about.

    Raises:
        UserError: The network does something that has no bounds; says what.
    """
    started = time.monotonic()
    graph = lower(network.function, torch.zeros(network.input_size, dtype=network.dtype), precision)
    witness = falsify(network, asked, attack or FIRST, deadline=started + seconds)
    if witness is not None:
        return Verdict("sat", -torch.inf, witness, 0, time.monotonic() - started)
    proof = _prove(network, asked, graph, started + seconds)
    return replace(proof, seconds=time.monotonic() - started)


def _prove(network: Network, asked: Property, graph: Graph, deadline: float) -> Verdict:
    """Search case after case, each with its share of the time that is left."""
    bound, boxes, reasons = torch.inf, 0, []
    search = search_activations if graph.input_size > MOST_INPUTS and knotted(graph) else search_inputs
    for index, case in enumerate(asked.cases):

        def confirm(x: Tensor, index: int = index) -> Witness | None:
            return replay(network, asked, index, x) if len(x) else None

        left = (deadline - time.monotonic()) / (len(asked.cases) - index)
        verdict = search(graph, Case(network.received(case.box), case.unsafe), confirm, seconds=left)
        bound, boxes = min(bound, verdict.bound), boxes + verdict.boxes
        if verdict.answer == "sat":
            return replace(verdict, bound=bound, boxes=boxes)
        reasons += [verdict.reason] if verdict.reason else []
    return Verdict("unknown" if reasons else "unsat", bound, None, boxes, reason=reasons[0] if reasons else "")
