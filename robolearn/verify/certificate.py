"""What was shown of a policy, in a file: so that it can be shown again, and so that nothing of the file is believed.

A certificate names a claim, the boxes that it was asked about and the files that it follows from. Whoever checks one
computes the hashes, the boxes and the claim anew, compares, and proves again what is said to be proved.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.errors import UserError
from robolearn.verify.claims.search import Outcome

VERSION = 1
METHOD = "linear bounds (CROWN) in float64 with outward rounding, and branch and bound over the input"


@dataclass(frozen=True)
class Shown:
    """What is known of the box of one observation."""

    episode: int
    """Of the demonstrations, numbered through all stores."""
    step: int
    """Of the episode."""
    lower: tuple[float, ...]
    """Of the box: observations of the horizon, the oldest first, then noise."""
    upper: tuple[float, ...]
    """The same from above."""
    answer: str
    """proved, falsified or open."""
    bound: float | None
    """What the claim's margin is at least; None where nothing is known."""
    boxes: int
    """Parts that were bounded."""
    witness: tuple[float, ...] = ()
    """An input of the box with which the claim fails, where it was falsified."""
    proved_radius: float | None = None
    """Of robustness: the largest error for which it is proved, as a share of each number's range."""
    falsified_radius: float | None = None
    """Of robustness: the least error for which it was violated; None for none."""

    def with_outcome(self, outcome: Outcome) -> Shown:
        """The same with what was found of its box."""
        bound = outcome.bound if abs(outcome.bound) < float("inf") else None
        witness = () if outcome.witness is None else tuple(outcome.witness.tolist())
        return dataclasses.replace(self, answer=outcome.answer, bound=bound, boxes=outcome.boxes, witness=witness)

    @property
    def box(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Bounds of the box, float64 [n] each."""
        return torch.tensor(self.lower, dtype=torch.float64), torch.tensor(self.upper, dtype=torch.float64)


@dataclass(frozen=True)
class ClaimCertificate:
    """A claim about a policy, and for which observations it was proved."""

    version: int
    """VERSION."""
    claim: str
    """What is claimed, in words."""
    assumptions: tuple[str, ...]
    """Under which it holds."""
    method: str
    """How it was proved."""
    precision: str
    """What bounds are about: float32, all that its arithmetic may make of it; exact, the network in real numbers."""
    asked: dict[str, Any]
    """Configuration: what is asked."""
    run: str
    """Directory of the run."""
    hashes: dict[str, str]
    """sha256 of the weights, the policy's configuration, the normalizer, the claim and the demonstrations."""
    observations: tuple[Shown, ...]
    """What is known of each."""

    def share(self, answer: str) -> float:
        """Of the observations, those with this answer."""
        return sum(one.answer == answer for one in self.observations) / len(self.observations)

    @property
    def radii_text(self) -> str:
        """Of robustness: in how many observations an error is proved, and how far both radii are apart; else empty."""
        proved = torch.tensor([one.proved_radius or 0.0 for one in self.observations])
        if not proved.any():
            return ""
        both = [(one.proved_radius, one.falsified_radius) for one in self.observations]
        gaps = torch.tensor([most / least for least, most in both if least and most])
        text = (
            f"an error is proved in {float((proved > 0).double().mean()):.1%}, of median {float(proved.median()):.2g}"
        )
        return f"{text}; falsified over proved: median {float(gaps.median()):.3g}" if len(gaps) else text

    @property
    def not_shown_again(self) -> list[str]:
        """What checking a certificate leaves open, in printable lines."""
        lines = []
        if self.share("open"):
            lines.append("open are those that as many boxes as before do not decide: more boxes might")
        if any(one.proved_radius is not None for one in self.observations):
            lines.append("that no larger error is proved, and no smaller one violated, was not shown again")
        return lines

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, to_json(self, {}))

    @classmethod
    def read(cls, path: Path) -> ClaimCertificate:
        """Read a file; what it says is to be checked.

        Raises:
            UserError: It is damaged, or of another version.
        """
        content = read_json(path)
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise UserError(f"{path}: no certificate of version {VERSION}")
        return from_json(cls, content, {}, str(path))

    def check_hashes(self, hashes: Mapping[str, str], where: str) -> None:
        """Refuse where a file is another than the one that the certificate is of.

        Raises:
            UserError: Names what has changed.
        """
        for name in sorted({*hashes, *self.hashes}):
            if hashes.get(name) != self.hashes.get(name):
                raise UserError(f"{where}: the certificate is of another {name}; verify again")

    def check_derived(self, derived: ClaimCertificate, where: str) -> None:
        """Refuse where it says something else than what follows from its files.

        Raises:
            UserError: Names what differs.
        """
        for name in ("claim", "assumptions", "method", "precision"):
            if getattr(self, name) != getattr(derived, name):
                raise UserError(f"{where}: its {name} does not follow from its files; verify again")
        if [_box(one) for one in self.observations] != [_box(one) for one in derived.observations]:
            raise UserError(f"{where}: its boxes do not follow from its files; verify again")


def file_hash(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refuse_unproved(said: Sequence[Shown], again: Sequence[Shown], where: str) -> None:
    """Refuse where an answer, a bound or a radius was not reached again.

    Raises:
        UserError: Names the first observation.
    """
    for one, shown in zip(said, again, strict=True):
        for name in ("answer", "bound", "proved_radius", "falsified_radius"):
            if (value := getattr(one, name)) != getattr(shown, name):
                what = f"step {one.step} of episode {one.episode} is said to "
                what += f"be {value}" if name == "answer" else f"have {name} {value}"
                raise UserError(f"{where}: {what}, which could not be shown again")


def _box(one: Shown) -> tuple[Any, ...]:
    return one.episode, one.step, one.lower, one.upper
