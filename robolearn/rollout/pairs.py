"""Pairs of episodes, one of each of two policies A and B from one start with one noise, and the verdict on them.

A pair tells one number in [-1, 1]: how much better B did than A. All count in which the environment failed neither
policy. Seeds are the independent draws, also where they give a start again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from robolearn.errors import UserError
from robolearn.rollout.clipping import Clipped
from robolearn.rollout.metrics import has_scores
from robolearn.stats.sequences import ConfidenceSequence
from robolearn.types import Trajectory, fault_in

By = Literal["success", "score", "return"]
Outcome = Literal["shown", "refuted", "undecided"]
EXIT_STATUS: dict[Outcome, int] = {"shown": 0, "refuted": 1, "undecided": 2}
FEW_BROKEN, MOST_BROKEN = 4, 0.1  # broken pairs that are left out, in number or as a share


@dataclass(frozen=True)
class Ended:
    """How the episode of one policy ended.

    Attributes:
        success: Whether it succeeded; None where the environment does not tell.
        max_score: Best score along the way, in [0, 1]; None where what stands for a score ever left that.
        total_reward: Its return, without discount.
        length: Steps.
        reason: See Trajectory.
        broken: Whether the environment failed, so that nothing else counts.
        clipped: Share of the steps whose action was clipped.
    """

    success: bool | None
    max_score: float | None
    total_reward: float
    length: int
    reason: str
    broken: bool
    clipped: float = 0.0

    @classmethod
    def from_trajectory(cls, trajectory: Trajectory, *, tells_success: bool) -> Ended:
        """What is kept of a trajectory."""
        return cls(
            success=trajectory.success if tells_success and not trajectory.broken else None,
            max_score=min(max(trajectory.max_score, 0.0), 1.0) if has_scores([trajectory]) else None,
            total_reward=trajectory.episode_return,
            length=len(trajectory),
            reason=trajectory.reason,
            broken=trajectory.broken,
            clipped=Clipped.from_trajectories([trajectory]).steps,
        )


@dataclass(frozen=True)
class Pair:
    """An episode of each policy.

    Attributes:
        episode: Index; with the seed of the comparison it fixes start and noise of both.
        seed: Of the environment's reset.
        start: Fingerprint of the first observation; empty where it is not known.
        a: How A's ended.
        b: How B's ended.
    """

    episode: int
    seed: int
    start: str
    a: Ended
    b: Ended

    @classmethod
    def from_trajectories(cls, a: Trajectory, b: Trajectory, *, tells_success: bool) -> Pair:
        """Two trajectories as a pair.

        Raises:
            UserError: They did not begin alike.
        """
        assert (a.episode, a.seed) == (b.episode, b.seed)
        if a.start and b.start and a.start != b.start:
            raise UserError(f"episode {a.episode} began differently for A and B, though its seed {a.seed} is the same")
        ends = (Ended.from_trajectory(one, tells_success=tells_success) for one in (a, b))
        return cls(a.episode, a.seed, a.start or b.start, *ends)

    @property
    def broken(self) -> bool:
        """Whether the environment failed one of the policies."""
        return self.a.broken or self.b.broken


@dataclass(frozen=True)
class Question:
    """What is asked of two policies.

    Attributes:
        by: What of an episode is compared.
        margin: Whether B is not worse than A by more than this; None for whether B is better.
        alpha: Probability of a wrong verdict.
        return_range: Returns that count as 0 and as 1.

    Raises:
        UserError: Returns are compared without a range.
    """

    by: By = "success"
    margin: float | None = None
    alpha: float = 0.05
    return_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.by == "return" and self.return_range is None:
            raise UserError("`by` return needs `env.return_range`: the returns that count as 0 and as 1")

    @property
    def threshold(self) -> float:
        """The mean difference B - A that is to be exceeded."""
        return 0.0 if self.margin is None else 0.0 - self.margin

    def value(self, ended: Ended) -> float:
        """What is compared of an episode, in [0, 1]; a return outside of the range counts as its end.

        Raises:
            UserError: There is no such number, or it is outside of its range.
        """
        if self.by == "success":
            if ended.success is None:
                raise UserError("the environment tells of no success; compare `by` score or return")
            return float(ended.success)
        if self.by == "score":
            if ended.max_score is None:
                raise UserError(
                    "the environment tells of no score, and its rewards leave [0, 1]; compare `by` return with "
                    "`env.return_range`"
                )
            return ended.max_score
        return min(max(self._share(ended), 0.0), 1.0)

    def is_clipped(self, ended: Ended) -> bool:
        """Whether a return lies outside of the range."""
        return self.by == "return" and not 0 <= self._share(ended) <= 1

    def _share(self, ended: Ended) -> float:
        """Of the way from one end of the range to the other, which may lead downwards."""
        assert self.return_range is not None
        low, high = self.return_range
        return (ended.total_reward - low) / (high - low)


@dataclass(frozen=True)
class Verdict:
    """What the pairs say of the question.

    Attributes:
        question: What was asked.
        outcome: Whether what is asked is shown, the opposite is, or neither.
        difference: Mean of B - A over the pairs that count.
        low: The mean over all seeds is above this, with probability 1 - alpha at all times together.
        high: It is below this.
        mean_a: Of A.
        mean_b: Of B.
        num_pairs: Pairs that count, up to the verdict.
        num_b_ahead: Those in which B did better.
        num_a_ahead: Those in which A did.
        num_broken: Pairs left out as the environment failed a policy.
        num_starts: Distinct starts of those that count.
        num_clipped: Pairs that count, with a return outside of the range.
        sequence: (mean so far, low, high) after each pair that counts.
    """

    question: Question
    outcome: Outcome
    difference: float
    low: float
    high: float
    mean_a: float
    mean_b: float
    num_pairs: int
    num_b_ahead: int
    num_a_ahead: int
    num_broken: int
    num_starts: int
    num_clipped: int
    sequence: tuple[tuple[float, float, float], ...] = field(repr=False)

    @property
    def exit_status(self) -> int:
        """Of the command: 0 where what was asked is shown, 1 where the opposite is, 2 without a verdict."""
        return EXIT_STATUS[self.outcome]

    @property
    def claim(self) -> str:
        """What was asked, as a sentence."""
        margin = self.question.margin
        return "B is better than A" if margin is None else f"B is not worse than A by more than {margin:g}"

    @property
    def words(self) -> str:
        """The verdict, as a sentence."""
        margin = self.question.margin
        if self.outcome == "undecided":
            return f"undecided: {self.num_pairs} pairs do not show whether {self.claim}"
        if self.outcome == "shown":
            return self.claim
        return "A is better than B" if margin is None else f"B is worse than A by more than {margin:g}"


class Judge:
    """Takes pair after pair until the question is decided; what comes after that changes nothing.

    Args:
        question: What is asked.
    """

    def __init__(self, question: Question):
        self.question = question
        self._sequence = ConfidenceSequence(question.alpha, (question.threshold,))
        self._values: list[tuple[float, float]] = []
        self._course: list[tuple[float, float, float]] = []
        self._sum = 0.0
        self._starts: set[str] = set()
        self._taken = self._broken = self._clipped = 0
        self.outcome: Outcome = "undecided"

    @property
    def is_done(self) -> bool:
        """Whether it is decided, so that more pairs are of no use."""
        return self.outcome != "undecided"

    @property
    def num_pairs(self) -> int:
        """Pairs that count so far."""
        return len(self._values)

    def take(self, pair: Pair) -> None:
        """Judge by one more pair.

        Raises:
            UserError: It does not tell what is compared, or too many are broken.
        """
        if self.is_done:
            return
        self._taken += 1
        if pair.broken:
            self._broken += 1
            self._check_broken(pair)
        else:
            self._count(pair)

    def verdict(self) -> Verdict:
        """What the pairs say so far.

        Raises:
            UserError: None of them counts.
        """
        num = len(self._values)
        if num == 0:
            raise UserError(f"no pair counts: all {self._taken} are broken")
        mean_a, mean_b = (sum(values) / num for values in zip(*self._values, strict=True))
        return Verdict(
            self.question,
            self.outcome,
            mean_b - mean_a,
            *self._sequence.interval,
            mean_a,
            mean_b,
            num_pairs=num,
            num_b_ahead=sum(b > a for a, b in self._values),
            num_a_ahead=sum(a > b for a, b in self._values),
            num_broken=self._broken,
            num_starts=len(self._starts),
            num_clipped=self._clipped,
            sequence=tuple(self._course),
        )

    def _count(self, pair: Pair) -> None:
        a, b = self.question.value(pair.a), self.question.value(pair.b)
        self._clipped += self.question.is_clipped(pair.a) or self.question.is_clipped(pair.b)
        self._values.append((a, b))
        self._starts.add(pair.start or f"seed {pair.seed}")
        self._sum += b - a
        low, high = self._sequence.update(b - a)
        self._course.append((self._sum / len(self._values), low, high))
        if low >= self.question.threshold:  # the interval is open: the mean is above its lower end
            self.outcome = "shown"
        elif high <= self.question.threshold:
            self.outcome = "refuted"

    def _check_broken(self, pair: Pair) -> None:
        if self._broken > max(FEW_BROKEN, MOST_BROKEN * self._taken):
            fault = fault_in((pair.a if pair.a.broken else pair.b).reason)
            raise UserError(
                f"{self._broken} of {self._taken} pairs are broken, too many to leave out: no verdict; "
                f"the last, episode {pair.episode}: {fault}"
            )
