"""What can be proved of a trained run: a claim for boxes around its held-out observations, and its certificate."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor

from robolearn.config import from_json
from robolearn.evaluation.asked import Asked
from robolearn.evaluation.verify_config import ClaimConfig
from robolearn.files import StrPath
from robolearn.policies.policy import WEIGHTS_FILE
from robolearn.report.proofs import Proof
from robolearn.training.run import Run
from robolearn.verify.certificate import ClaimCertificate, Shown, file_hash, refuse_unproved
from robolearn.verify.claims.claim import Claim
from robolearn.verify.claims.robustness import Robustness, radii
from robolearn.verify.claims.search import decide_all, first_margins
from robolearn.verify.claims.subject import Chunks

LARGEST_ERROR = 0.5  # share of the range; errors beyond it are not tried


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
    """
    run, cfg = run if isinstance(run, Run) else Run.open(run), cfg or ClaimConfig()
    asked = Asked(run, cfg, trust)
    certificate = asked.certificate(_decided(asked))
    certificate.write(certificate_path(run.directory, cfg))
    return certificate


def certificate_path(directory: Path, cfg: ClaimConfig) -> Path:
    """Where the certificate of a claim about a run is written."""
    return Path(cfg.out or directory / "claims" / f"{cfg.claim}.json")


def check_claim(path: StrPath, run: Run | StrPath | None = None, *, trust: bool = False) -> ClaimCertificate:
    """Prove again what a certificate says, from the run and its demonstrations; nothing in the file is believed.

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


def proofs_of(run: Run, checkpoint: str) -> list[Proof]:
    """What the certificates of a run show of a checkpoint, for its report; those of other weights show nothing of it.

    Args:
        run: Whose folder of claims is read.
        checkpoint: last, best or a step.
    """
    weights, proofs = file_hash(run.checkpoint(checkpoint) / WEIGHTS_FILE), []
    for path in sorted((run.directory / "claims").glob("*.json")):
        said = ClaimCertificate.read(path)
        if said.hashes.get("weights") == weights:
            proofs.append(_proof(said))
    return proofs


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


def _shown_again(asked: Asked, said: tuple[Shown, ...]) -> list[str]:
    """The answers that can be reached with as many boxes as are said to have been enough."""
    answers, lower, upper = [one.answer for one in said], *asked.asked_boxes
    for row, one in enumerate(said):
        if one.answer == "falsified":
            x = torch.tensor(one.witness, dtype=torch.float64)
            inside = x.shape == lower[row].shape and bool(((lower[row] <= x) & (x <= upper[row])).all())
            if not bool(inside) or float(asked.claim.margin(asked.subject.act(x[None]), torch.tensor([row]))) >= 0:
                answers[row] = "open"
    rows = [row for row, one in enumerate(said) if one.answer == "proved"]
    if rows:
        again = _Some(asked.claim, torch.tensor(rows))
        most = [said[row].boxes for row in rows]
        outcomes = decide_all(asked.subject, again, lower[rows], upper[rows], seconds=math.inf, most_boxes=most)
        for row, outcome in zip(rows, outcomes, strict=True):
            answers[row] = outcome.answer
    radius = torch.tensor([one.proved_radius or 0.0 for one in said], dtype=torch.float64)
    if radius.any():
        holds = first_margins(asked.subject, asked.claim, *asked.boxes(radius)) >= 0
        answers = [
            "open" if one.proved_radius and not held else answer
            for one, held, answer in zip(said, holds.tolist(), answers, strict=True)
        ]
    return answers


class _Some(Claim):
    """A claim about some of the observations, numbered anew."""

    def __init__(self, claim: Claim, rows: Tensor) -> None:
        self.claim, self.rows, self.words = claim, rows, claim.words

    def margins(self, lower: Tensor, upper: Tensor, rows: Tensor) -> Tensor:
        """Those of the whole claim."""
        return self.claim.margins(lower, upper, self.rows[rows])

    def margin(self, chunks: Chunks, rows: Tensor) -> Tensor:
        """That of the whole claim."""
        return self.claim.margin(chunks, self.rows[rows])
