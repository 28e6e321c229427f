"""Prove what a network or a trained policy can never do, or find an input with which it does.

    verify RUN --claim limits --eps 0.01               of a policy, around each of its held-out observations
    verify --check CERTIFICATE                         prove again what was written of a policy
    verify NET.onnx --property P.vnnlib --timeout SECONDS    of a network that others trained

Of a network the answer is a line of its own: unsat, the property is proved; sat, it is violated, by the input and
output that follow; unknown, the time was too short.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Plugins, Trust, build, import_plugins, mirror, values
from robolearn.errors import UserError
from robolearn.evaluation.verify_config import ClaimConfig, VerifyConfig
from robolearn.rollout.execution import Execution

OF_BOTH = ("precision", "threads")
Search = mirror(VerifyConfig)
Claimed = mirror(
    ClaimConfig,
    tuple(name for name in ClaimConfig.__dataclass_fields__ if name not in (*OF_BOTH, "execution")),
    doc="What is claimed of a policy.",
)


@dataclass(frozen=True)
class Options:
    """Options of a proof."""

    what: Annotated[Positional[Path | None], arg(metavar="RUN|NET.onnx")] = None
    """Run directory that train.py wrote, or a network in ONNX."""
    property: Path | None = None
    """What is asked of a network, in VNN-LIB 1; may be packed by gzip."""
    check: Path | None = None
    """Prove again what this certificate says of a policy."""
    search: OmitArgPrefixes[Search] = field(default_factory=Search)
    claimed: OmitArgPrefixes[Claimed] = field(default_factory=Claimed)
    exec_horizon: int | None = None
    """Actions of a policy's chunk that are executed; by default as configured in training."""
    plugin: Plugins = ()
    trust: Trust = False


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, search, and print the answer; how the search went is on stderr."""
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__)
    if given.check is not None:
        _check(given)
    elif given.what is None:
        raise UserError("give a run, a network in ONNX with `property`, or `check` and a certificate")
    elif given.property is not None:
        _ask_network(given)
    elif given.what.is_dir():
        _claim(given)
    else:
        raise UserError(f"{given.what} is no run; of a network in ONNX give the `property`, too")


def _claim(given: Any) -> None:
    """Prove a claim about a run."""
    shared = {name: getattr(given.search, name) for name in OF_BOTH}
    cfg = ClaimConfig(**values(given.claimed), **shared, execution=Execution(exec_horizon=given.exec_horizon))
    from robolearn.evaluation.claims import certificate_path, verify_run

    certificate = verify_run(given.what, cfg, trust=given.trust)
    _print(certificate)
    print(f"certificate: {certificate_path(given.what, cfg)}")


def _check(given: Any) -> None:
    """Prove again."""
    from robolearn.evaluation.claims import check_claim

    certificate = check_claim(given.check, given.what, trust=given.trust)
    _print(certificate)
    print("\n".join(["proved again from the files", *certificate.not_shown_again]))


def _print(certificate: Any) -> None:
    """A claim, its conditions, and the shares."""
    print(certificate.claim)
    for assumption in certificate.assumptions:
        print(f"  provided that {assumption}")
    count = len(certificate.observations)
    shares = ", ".join(f"{name} {certificate.share(name):.1%}" for name in ("proved", "falsified", "open"))
    print(f"{count} observations, {certificate.precision}: {shares}")
    if radii := certificate.radii_text:
        print(radii)


def _ask_network(given: Any) -> None:
    """Answer a property of a network."""
    cfg = build(given.search)
    if given.what.is_dir():
        raise UserError(f"{given.what} is a folder; give a network in ONNX")
    from robolearn.evaluation.verify import verify_network
    from robolearn.verify.formats.vnnlib import written_witness

    verdict = verify_network(given.what, given.property, cfg)
    print(verdict.answer)
    if verdict.witness is not None:
        print(written_witness(verdict.witness))
    details = f"{verdict.boxes} boxes in {verdict.seconds:.2f} s"
    if verdict.reason:
        details = f"{verdict.reason}; {details}; the margin of every input is at least {verdict.bound:.6g}"
    print(details, file=sys.stderr)
