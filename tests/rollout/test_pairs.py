"""The verdict on pairs of episodes: which count, when it is decided, and what is refused."""

import dataclasses

import numpy as np
import pytest

from robolearn.rollout.pairs import Ended, Judge, Pair, Question
from robolearn.types import Trajectory

NOTHING = Ended(success=False, max_score=0.0, total_reward=0.0, length=3, reason="time", broken=False)


def ended(value):
    return dataclasses.replace(NOTHING, success=value > 0.5, max_score=float(value), total_reward=10.0 * value)


def pair(i, a, b, start=None):
    return Pair(i, 100 + i, f"start {i}" if start is None else start, ended(a), ended(b))


def broken(i):
    return dataclasses.replace(pair(i, 0, 0), b=dataclasses.replace(NOTHING, broken=True, reason="broken: boom"))


def judged(pairs, **question):
    judge = Judge(Question(**question))
    for one in pairs:
        judge.take(one)
    return judge.verdict()


def test_seven_wins_in_a_row_decide_and_what_comes_after_changes_nothing():
    wins = [pair(i, 0, 1) for i in range(7)]
    assert judged(wins[:6]).outcome == "undecided"
    verdict = judged(wins)
    assert (verdict.outcome, verdict.exit_status, verdict.words) == ("shown", 0, "B is better than A")
    assert (verdict.difference, verdict.num_pairs, verdict.num_b_ahead, verdict.num_a_ahead) == (1.0, 7, 7, 0)
    assert verdict.low >= 0
    assert len(verdict.sequence) == 7
    assert judged([*wins, *(pair(i, 1, 0) for i in range(7, 50))]) == verdict


def test_the_other_way_around_the_opposite_is_shown():
    verdict = judged([pair(i, 1, 0) for i in range(7)])
    assert (verdict.outcome, verdict.exit_status, verdict.words) == ("refuted", 1, "A is better than B")
    assert (verdict.difference, verdict.mean_a, verdict.mean_b) == (-1.0, 1.0, 0.0)


def test_policies_that_end_alike_are_told_not_to_be_worse_but_not_to_be_better():
    alike = [pair(i, i % 2, i % 2) for i in range(120)]
    verdict = judged(alike)
    assert (verdict.outcome, verdict.exit_status) == ("undecided", 2)
    assert verdict.words == "undecided: 120 pairs do not show whether B is better than A"
    verdict = judged(alike, margin=0.1)
    assert (verdict.outcome, verdict.words) == ("shown", "B is not worse than A by more than 0.1")
    assert verdict.low >= -0.1
    assert verdict.num_pairs < 120


def test_worse_than_the_margin_allows():
    verdict = judged([pair(i, 1, 0) for i in range(60)], margin=0.2)
    assert (verdict.outcome, verdict.exit_status, verdict.words) == ("refuted", 1, "B is worse than A by more than 0.2")


def test_a_little_worse_is_not_worse_than_the_margin_though_it_is_worse():
    scores = [pair(i, 0.5, 0.48) for i in range(600)]
    assert judged(scores, by="score", margin=0.1).outcome == "shown"
    assert judged(scores, by="score").outcome == "refuted"


def test_returns_are_a_share_of_their_range_and_count_as_its_ends_beyond():
    judge = Judge(Question("return", return_range=(2.0, 6.0)))
    for i, (a, b) in enumerate([(0.4, 0.5), (0.4, 0.9)]):
        judge.take(pair(i, a, b))
    verdict = judge.verdict()
    assert (verdict.mean_a, verdict.mean_b) == pytest.approx((0.5, (0.75 + 1) / 2))
    assert verdict.num_clipped == 1


def test_pairs_that_break_are_left_out_and_counted():
    pairs = [broken(0), *(pair(i, 0, 1) for i in range(1, 8))]
    verdict = judged(pairs)
    assert (verdict.outcome, verdict.num_pairs, verdict.num_broken) == ("shown", 7, 1)


def test_many_that_break_make_no_verdict():
    pairs = [pair(i, 0, 0) if i % 8 else broken(i) for i in range(40)]
    with pytest.raises(ValueError, match=r"5 of 33 pairs are broken, too many .* the last, episode 32: boom"):
        judged(pairs)
    few = [pair(i, 0, 0) if i % 20 else broken(i) for i in range(40)]
    assert judged(few).num_broken == 2
    with pytest.raises(ValueError, match="no pair counts: all 2 are broken"):
        judged([broken(0), broken(1)])


def test_a_start_counts_as_often_as_seeds_give_it():
    """B is better from most of the starts, A from the one that most episodes have: A will succeed more often."""
    pairs = [pair(i, 1, 0, "often") if i % 5 else pair(i, 0, 1) for i in range(100)]
    verdict = judged(pairs)
    assert (verdict.outcome, verdict.num_pairs) == ("refuted", 29)
    assert verdict.num_starts == 7
    assert judged([pair(i, 0, 1, "") for i in range(7)]).num_starts == 7, "where starts are unknown, seeds tell"


@pytest.mark.parametrize(
    ("by", "change", "message"),
    [
        ("success", {"success": None}, "tells of no success; compare `by` score or return"),
        ("score", {"max_score": None}, r"tells of no score, and its rewards leave \[0, 1\]; compare `by` return"),
    ],
)
def test_what_is_not_told_is_not_compared(by, change, message):
    one = pair(0, 0, 1)
    with pytest.raises(ValueError, match=message):
        Judge(Question(by)).take(dataclasses.replace(one, b=dataclasses.replace(one.b, **change)))


def test_a_range_may_lead_downwards():
    """As costs do."""
    judge = Judge(Question("return", return_range=(10.0, 0.0)))
    judge.take(pair(0, 0.2, 0.9))
    verdict = judge.verdict()
    assert (verdict.mean_a, verdict.mean_b, verdict.num_clipped) == (pytest.approx(0.8), pytest.approx(0.1), 0)


def test_returns_need_a_range():
    with pytest.raises(ValueError, match=r"`by` return needs `env.return_range`"):
        Question("return")


def trajectory(start="s", broken=False):
    reason, rewards = "broken: boom" if broken else "success", np.array([1.0, 2.0])
    return Trajectory(
        3, 103, {}, np.zeros((2, 1)), rewards, rewards / 4, not broken, -1, reason, start=start, broken=broken
    )


def test_a_pair_holds_what_its_trajectories_say():
    one = Pair.from_trajectories(trajectory(), trajectory(broken=True), tells_success=True)
    assert (one.episode, one.seed, one.start, one.broken) == (3, 103, "s", True)
    assert one.a == Ended(True, 0.5, 3.0, 2, "success", broken=False)
    assert one.b.success is None
    costly = dataclasses.replace(trajectory(), scores=np.array([-3.0, 0.5]))
    assert Ended.from_trajectory(costly, tells_success=True).max_score is None
    assert Pair.from_trajectories(trajectory(), trajectory(), tells_success=False).a.success is None


def test_a_pair_has_one_start():
    with pytest.raises(ValueError, match="episode 3 began differently for A and B, though its seed 103 is the same"):
        Pair.from_trajectories(trajectory("s"), trajectory("t"), tells_success=True)
