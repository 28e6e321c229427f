"""Proofs about networks, from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from robolearn.config import checked
from robolearn.evaluation.verify_config import VerifyConfig
from robolearn.files import StrPath
from robolearn.training.device import choose_device
from robolearn.verify.formats.onnx_network import read_network
from robolearn.verify.formats.vnnlib import read_property
from robolearn.verify.search.decide import FIRST, decide
from robolearn.verify.search.verdict import Verdict


def verify_network(network: StrPath, asked: StrPath, cfg: VerifyConfig | None = None) -> Verdict:
    """Prove a property of a network that others trained, or find a counterexample.

        verdict = rl.verify_network("network.onnx", "property.vnnlib")
        assert verdict.answer in ("sat", "unsat", "unknown")

    Args:
        network: A file in ONNX.
        asked: A file in VNN-LIB 1, which may be packed by gzip.
        cfg: How long is searched.

    Returns:
        "unsat" if the property is proved, "sat" with a witness if it is violated, "unknown" if the time was too short.

    Raises:
        UserError: A file is damaged or has what is not supported, or they do not fit each other.
        OSError: A file cannot be read.
    """
    cfg = checked(cfg or VerifyConfig())
    choose_device("cpu", threads=cfg.threads)
    net = read_network(Path(network))
    question = read_property(Path(asked), net.input_size, net.output_size)
    return decide(net, question, seconds=cfg.timeout, attack=replace(FIRST, seed=cfg.seed), precision=cfg.precision)
