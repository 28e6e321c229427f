"""Prove what a network can never do, or find an input with which it does.

    verify NET.onnx --property P.vnnlib --timeout SECONDS

The answer is a line of its own: unsat, the property is proved; sat, it is violated, by the input and output that
follow; unknown, the time was too short.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.parsing import build, mirror
from robolearn.errors import UserError
from robolearn.evaluation.config import VerifyConfig

Search = mirror(VerifyConfig)


@dataclass(frozen=True)
class Options:
    """Options of a proof."""

    network: Annotated[Positional[Path], arg(metavar="NET.onnx")]
    """Network in ONNX."""
    property: Path
    """What is asked of it, in VNN-LIB 1; may be packed by gzip."""
    search: OmitArgPrefixes[Search] = field(default_factory=Search)


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, search, and print the answer; how the search went is on stderr."""
    given: Any = tyro.cli(Options, args=arguments, prog=prog, description=__doc__)
    cfg = build(given.search)
    if given.network.is_dir():
        raise UserError(f"{given.network} is a folder; give a network in ONNX")
    from robolearn.evaluation.verify import verify_network
    from robolearn.verify.formats.vnnlib import written_witness

    verdict = verify_network(given.network, given.property, cfg)
    print(verdict.answer)
    if verdict.witness is not None:
        print(written_witness(verdict.witness))
    details = f"{verdict.boxes} boxes in {verdict.seconds:.2f} s"
    if verdict.reason:
        details = f"{verdict.reason}; {details}; the margin of every input is at least {verdict.bound:.6g}"
    print(details, file=sys.stderr)
