"""Is one evaluation per chunk as good as many? A row against every many-step row in every one of its settings.

Not against the best of them alone: that would be one that some episodes selected, and the others would go free. All
hypotheses about a row are tested together, so that the more it is compared with, the more it has to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robolearn.bench.summary import Measured, entropies, is_known, per_state
from robolearn.stats.bootstrap import Draws
from robolearn.stats.differences import paired_ratio
from robolearn.stats.margins import LEVEL, CrossedMean, outcomes
from robolearn.stats.value import Estimate, Outcome
from robolearn.types import Array

QUALITY_LOSS = 0.02
ENTROPY_SHARE = 0.95
LATENCY_SHARE = 1.3
FORWARD = "regression"
"""The row whose latency is that of one forward pass of the backbone."""


@dataclass(frozen=True)
class Rival:
    """A many-step row in one of its settings.

    Attributes:
        row, setting: Names.
        results: What was measured, one per training seed.
    """

    row: str
    setting: str
    results: Sequence[Measured]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.row} {self.setting}"


@dataclass(frozen=True)
class Match:
    """One target of a row beside one rival.

    Attributes:
        rival: Its name.
        target: success or score; or entropy.
        difference: Ours minus theirs; of the entropy ours minus 0.95 of theirs, or of the demonstrators' where that is
            less, since more is chance.
        not_worse: Whether it is above the margin, which is -0.02 for the first and 0 for the other.
        better: Whether ours is above theirs, as far as the demonstrators' reaches.
    """

    rival: str
    target: str
    difference: Estimate
    not_worse: Outcome
    better: Outcome


@dataclass(frozen=True)
class Verdict:
    """A row with one evaluation per chunk against every many-step row and setting.

    Attributes:
        row, setting: Names.
        seeds: Training seeds that all of them share.
        looks: How often it was judged, by data that grew, this time included.
        matches: Every target beside every rival.
        latency_share: Its median latency in that of one forward pass; at most 1.3. None where that is not measured.
        speed: Whether that is met.
        better: Targets in which it is shown to be above every rival; only of a row that is shown to be not worse.
        outcome: Not worse than any: missed if that is missed beside one rival in one target, or in speed; shown if it
            is shown everywhere; else not shown.
    """

    row: str
    setting: str
    seeds: tuple[int, ...]
    looks: int
    matches: tuple[Match, ...]
    latency_share: Estimate | None
    speed: Outcome
    better: tuple[str, ...]
    outcome: Outcome

    def not_worse(self, target: str) -> Outcome:
        """What its matches with all rivals say together."""
        answers: list[Outcome] = [match.not_worse for match in self.matches if match.target == target]
        return overall(answers)

    def hardest(self, target: str) -> Match | None:
        """Where it is closest to the margin, or furthest beyond; None without this target."""
        matches = [match for match in self.matches if match.target == target]
        return min(matches, key=lambda match: match.difference.low, default=None)


@dataclass(frozen=True)
class Question:
    """A target before it is answered: means that are asked to lie above margins."""

    rival: str
    target: str
    mean: CrossedMean
    margin: float
    above: CrossedMean
    """Ours minus theirs."""


def judge(
    row: str,
    setting: str,
    ours: dict[int, Measured],
    rivals: Sequence[Rival],
    forward: dict[int, Measured],
    modes: Sequence[int] | None,
    expert_entropy: float | None,
    looks: int = 1,
) -> Verdict:
    """Judge a row.

    Whoever looks again when more is measured has one more chance to be wrong. Each look has its share of the error, so
    that all of them together have no more than one (Bonferroni).

    Args:
        row: Its name.
        setting: Name of its setting.
        ours: Training seed -> its results.
        rivals: Many-step rows in all their settings, of the same training seeds in the same order.
        forward: Results of FORWARD; empty where it is not measured.
        modes: Demonstrations per mode; None where the task has none.
        expert_entropy: Mode entropy of the demonstrators; None where modes do not matter.
        looks: How often the row has been judged, by data that grew, this time included.
    """
    level = LEVEL / looks
    results = list(ours.values())
    questions = [q for rival in rivals for q in _questions(results, rival, modes, expert_entropy)]
    not_worse = outcomes([q.mean for q in questions], [q.margin for q in questions], level)
    better = outcomes([q.above for q in questions], [0.0] * len(questions), level)
    matches = tuple(
        Match(q.rival, q.target, q.mean.estimate(), *answers)
        for q, *answers in zip(questions, not_worse, better, strict=True)
    )
    latency = _latency_share(ours, forward)
    speed: Outcome = "not shown" if latency is None else latency.outcome(most=LATENCY_SHARE)
    outcome = overall([*not_worse, speed])
    best_in = _better(matches) if outcome == "shown" else ()
    return Verdict(row, setting, tuple(ours), looks, matches, latency, speed, best_in, outcome)


def _questions(
    ours: Sequence[Measured], rival: Rival, modes: Sequence[int] | None, expert_entropy: float | None
) -> list[Question]:
    """What is asked beside one rival: quality, and coverage where modes matter."""
    episodes = int(np.size(ours[0]["evaluation"]["success"])) * len(ours)

    def quality(target: str) -> Question:
        difference = CrossedMean.from_values(per_state(ours, target) - per_state(rival.results, target), episodes)
        return Question(rival.name, target, difference, -QUALITY_LOSS, difference)

    if modes is None or expert_entropy is None:
        return [quality("score" if is_known(ours, "score") else "success")]
    one, other = (entropies(results, len(modes)) for results in (ours, rival.results))
    capped = _capped(other, expert_entropy)
    short = CrossedMean.from_values(one - ENTROPY_SHARE * capped, episodes)
    above = CrossedMean.from_values(_capped(one, expert_entropy) - capped, episodes)
    return [quality("success"), Question(rival.name, "entropy", short, 0.0, above)]


def _capped(entropy: Float[Array, "s c"], most: float) -> Float[Array, "s c"]:
    """Entropies that are on average the demonstrators' at most."""
    return entropy * min(1.0, most / max(entropy.mean(), np.finfo(float).tiny))


def _better(matches: Sequence[Match]) -> tuple[str, ...]:
    targets = dict.fromkeys(match.target for match in matches)
    return tuple(t for t in targets if all(match.better == "shown" for match in matches if match.target == t))


def overall(answers: Sequence[Outcome]) -> Outcome:
    """Missed if one is, shown if all are."""
    if "missed" in answers:
        return "missed"
    return "shown" if all(answer == "shown" for answer in answers) else "not shown"


def _latency_share(ours: dict[int, Measured], forward: dict[int, Measured]) -> Estimate | None:
    """Median over training seeds of ours in one forward pass; None unless that is measured for all of them."""
    if not ours.keys() <= forward.keys():
        return None
    one = np.array([measured["p50_ms"] for measured in ours.values()])
    # Timed in turn with ours, or where it was timed by itself, at another moment.
    other = np.array([measured.get("forward_ms", forward[seed]["p50_ms"]) for seed, measured in ours.items()])
    return paired_ratio(one, other, Draws.resample(len(ours), 1)).estimate
