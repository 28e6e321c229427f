"""What can be proved of a trained run: a claim for boxes around its held-out observations, and its certificate."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch

from robolearn.config import checked, from_json
from robolearn.evaluation.asked import Asked, execution_problem
from robolearn.evaluation.verify_config import ClaimConfig
from robolearn.files import StrPath, check_writable
from robolearn.policies.policy import WEIGHTS_FILE, Policy
from robolearn.report.proofs import Proof
from robolearn.rollout.execution import Execution
from robolearn.training.run import Run
from robolearn.verify.certificate import ClaimCertificate, Shown, file_hash, refuse_unproved
from robolearn.verify.claims.robustness import Robustness, radii
from robolearn.verify.claims.search import decide_all, falsify, first_margins

LARGEST_ERROR = 0.5  # share of the range; errors beyond it are not tried
BOUND_SLACK = 1e-6  # by which a bound may be less on another machine, of its size or of 1


def verify_run(run: Run | StrPath, cfg: ClaimConfig | None = None, *, trust: bool = False) -> ClaimCertificate:
    """Prove a claim about a trained policy, around each of its held-out observations, or show where it fails.

        certificate = rl.verify_run("runs/avoid", rl.ClaimConfig(claim="limits", eps=0.01))
        print(certificate.claim, certificate.share("proved"))

    Args:
        run: Of `train`.
        cfg: What is claimed.
        trust: Make the environment that the run names, whatever module it is from.

    Returns:
        What was shown, which was written to cfg.out.

    Raises:
        UserError: The policy has no verifiable path, its demonstrations are gone or others, or an option does not fit.
        OSError: The certificate cannot be written; that is found out first.
    """
    run, cfg = run if isinstance(run, Run) else Run.open(run), checked(cfg or ClaimConfig())
    asked, path = Asked(run, cfg, trust), certificate_path(run.directory, cfg)
    check_writable(path)
    certificate = asked.certificate(_decided(asked))
    certificate.write(path)
    return certificate


def certificate_path(directory: Path, cfg: ClaimConfig) -> Path:
    """Where the certificate of a claim about a run is written."""
    return Path(cfg.out or directory / "claims" / f"{cfg.claim}.json")


def check_claim(path: StrPath, run: Run | StrPath | None = None, *, trust: bool = False) -> ClaimCertificate:
    """Prove again what a certificate claims, from the run and its demonstrations; see its `not_shown_again`.

        check_claim("runs/avoid/claims/limits.json")

    Args:
        path: What `verify_run` wrote.
        run: What it is about; by default where that was then.
        trust: Make the environment that the run names, whatever module it is from.

    Raises:
        UserError: Weights, normalizer, claim or demonstrations have changed, it says what does not follow from them, or
            something could not be shown again.
    """
    said, where = ClaimCertificate.read(Path(path)), str(path)
    cfg = from_json(ClaimConfig, said.asked, {}, where)
    home = run if isinstance(run, Run) else Run.open(said.run if run is None else run)
    asked = Asked(home, cfg, trust)
    said.check_hashes(asked.hashes, where)
    said.check_derived(asked.certificate(asked.places), where)
    refuse_unproved(said.observations, _shown_again(asked, said.observations), where)
    return said


def proofs_of(run: Run, checkpoint: str, policy: Policy, execution: Execution) -> list[Proof]:
    """What the certificates of a run show of how it acts, for its report.

    Those of other weights show nothing of it, and neither do those of a policy that draws its chunks in another way, or
    of other actions of a chunk than are executed.

    Args:
        run: Whose folder of claims is read.
        checkpoint: last, best or a step.
        policy: That acts.
        execution: How its chunks are executed, with an exec_horizon.
    """
    weights, proofs = file_hash(run.checkpoint(checkpoint) / WEIGHTS_FILE), []
    for path in sorted((run.directory / "claims").glob("*.json")):
        said = ClaimCertificate.read(path)
        if said.hashes.get("weights") != weights:
            continue
        asked = from_json(ClaimConfig, said.asked, {}, str(path))
        steps = asked.execution.with_defaults(run.config().exec_horizon).period
        is_covered = execution.period <= steps and execution_problem(asked, execution) is None
        if is_covered and _is_asked_alike(policy, asked):
            proofs.append(_proof(said))
    return proofs


def _is_asked_alike(policy: Policy, asked: ClaimConfig) -> bool:
    """Whether a policy draws its chunks as the one that a claim is about."""
    trained: Any = policy.cfg.family
    return policy.family.cfg == dataclasses.replace(trained, **asked.chosen)


def _proof(said: ClaimCertificate) -> Proof:
    shares = {answer: said.share(answer) for answer in ("proved", "falsified", "open")}
    proved, falsified = (
        tuple(radius for one in said.observations if (radius := getattr(one, name)) is not None)
        for name in ("proved_radius", "falsified_radius")
    )
    return Proof(said.claim, said.assumptions, said.precision, shares, len(said.observations), proved, falsified)


def _decided(asked: Asked) -> tuple[Shown, ...]:
    """The boxes with what could be shown of each."""
    claim = asked.claim
    outcomes = decide_all(asked.subject, claim, *asked.asked_boxes, seconds=asked.cfg.seconds)
    shown = [one.with_outcome(outcome) for one, outcome in zip(asked.places, outcomes, strict=True)]
    if not isinstance(claim, Robustness):
        return tuple(shown)
    bounds = radii(asked.subject, claim, asked.boxes, len(shown), LARGEST_ERROR)
    pairs = zip(shown, bounds.proved.tolist(), bounds.falsified.tolist(), strict=True)
    return tuple(
        dataclasses.replace(one, proved_radius=proved, falsified_radius=falsified if math.isfinite(falsified) else None)
        for one, proved, falsified in pairs
    )


def _shown_again(asked: Asked, said: tuple[Shown, ...]) -> tuple[Shown, ...]:
    """What comes out with as many boxes as are said to have been bounded; what holds as it is said stays as it is."""
    most = [one.boxes for one in said]
    outcomes = decide_all(asked.subject, asked.claim, *asked.asked_boxes, seconds=math.inf, most_boxes=most)
    shown = []
    for row, (one, outcome, proved) in enumerate(zip(said, outcomes, _proved_again(asked, said), strict=True)):
        again = one.with_outcome(outcome)
        if one.answer == "falsified":  # another machine may miss the witness, which is still one
            again = dataclasses.replace(again, answer="falsified" if _is_witness(asked, row, one.witness) else "open")
        if one.bound is None or outcome.bound >= one.bound - BOUND_SLACK * max(abs(one.bound), 1.0):
            again = dataclasses.replace(again, bound=one.bound)
        violated = _violated_again(asked, row, one.falsified_radius, len(said))
        shown.append(dataclasses.replace(again, proved_radius=proved, falsified_radius=violated))
    return tuple(shown)


def _proved_again(asked: Asked, said: tuple[Shown, ...]) -> list[float | None]:
    """The errors for which the claim is said to be proved, 0 where it is not."""
    radius = torch.tensor([one.proved_radius or 0.0 for one in said], dtype=torch.float64)
    if not radius.any():
        return [one.proved_radius for one in said]
    holds = (radius >= 0) & (first_margins(asked.subject, asked.claim, *asked.boxes(radius)) >= 0)
    return [one.proved_radius if held or not one.proved_radius else 0.0 for one, held in zip(said, holds, strict=True)]


def _is_witness(asked: Asked, row: int, witness: tuple[float, ...]) -> bool:
    """Whether the claim fails for an input, and the input is of the box."""
    x, (lower, upper) = torch.tensor(witness, dtype=torch.float64), (side[row] for side in asked.asked_boxes)
    if x.shape != lower.shape or not bool(((lower <= x) & (x <= upper)).all()):
        return False
    return float(asked.claim.margin(asked.subject.act(x[None]), torch.tensor([row]))) < 0


def _violated_again(asked: Asked, row: int, said: float | None, count: int) -> float | None:
    """An error for which the claim is violated, if it is; where none is said, the largest, for which it then is not."""
    if said is None and not isinstance(asked.claim, Robustness):
        return None
    error = LARGEST_ERROR if said is None else said
    if not 0 < error <= LARGEST_ERROR:
        return None
    lower, upper = asked.boxes(torch.full((count,), error, dtype=torch.float64))
    return error if falsify(asked.subject, asked.claim, lower[row], upper[row], row) is not None else None
