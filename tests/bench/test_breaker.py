"""Verdicts: where the margins lie, what many comparisons together say, and what counts in the whole."""

import numpy as np
import pytest

from robolearn.bench.breaker import Rival, judge, overall
from robolearn.stats.margins import CrossedMean
from tests.bench.tiny import measured

REPEATS, STATES, TRAININGS = 200, 6, 3


def results(*, successes=REPEATS, first_mode=REPEATS // 2, p50_ms=1.0, trainings=TRAININGS, nfe=1):
    """Training seed -> episodes that end alike from every start: so many successes, so many by the first of two ways.

    Every second start has one success more or less, so that states differ.
    """
    by_seed = {}
    for seed in range(trainings):
        numbers = [min(successes + (-1) ** (seed + i), REPEATS) for i in range(STATES)]
        success = np.array([np.arange(REPEATS) < number for number in numbers])
        mode = np.tile(np.arange(REPEATS) >= first_mode, (STATES, 1)).astype(int)
        by_seed[seed] = measured(success, mode, nfe=nfe) | {"p50_ms": p50_ms}
    return by_seed


def verdict(ours, *others, forward=None, modes=(5, 5), expert=0.9, looks=1):
    rivals = [Rival(f"rival{i}", "x", list(r.values())) for i, r in enumerate(others or [results()])]
    return judge("row", "default", ours, rivals, results() if forward is None else forward, modes, expert, looks)


def answers(judgement, target):
    return [match.not_worse for match in judgement.matches if match.target == target]


@pytest.mark.parametrize(
    ("ours", "target", "expected"),
    [
        ({"successes": 197}, "success", "shown"),  # 0.015 less
        ({"successes": 194}, "success", "missed"),  # 0.03 less
        ({"first_mode": 70}, "entropy", "shown"),  # 0.934: above 0.95 of the demonstrators' 0.9
        ({"first_mode": 50}, "entropy", "missed"),  # 0.81
    ],
)
def test_a_verdict_is_on_its_side_of_the_margin(ours, target, expected):
    assert answers(verdict(results(**ours)), target) == [expected]


def test_a_forward_pass_that_took_turns_counts_and_not_one_of_another_moment():
    ours = results(p50_ms=2.0)
    for result in ours.values():
        result["forward_ms"] = 1.6
    assert verdict(ours).latency_share.value == 1.25


@pytest.mark.parametrize(("p50_ms", "expected"), [(1.25, "shown"), (1.35, "missed")])
def test_latency_is_in_forward_passes(p50_ms, expected):
    assert verdict(results(p50_ms=p50_ms)).speed == expected


def test_more_entropy_than_the_demonstrators_show_is_asked_of_nobody():
    """The rival has 1; 0.95 of it would be 0.95. The demonstrators show 0.9, and 0.95 of that is reached."""
    ours = results(first_mode=65)  # 0.91
    assert answers(verdict(ours, expert=0.9), "entropy") == ["shown"]
    assert answers(verdict(ours, expert=1.0), "entropy") == ["missed"]


def test_what_was_measured_once_shows_nothing():
    judgement = verdict(results(trainings=1), results(trainings=1), forward=results(trainings=1))
    assert {match.not_worse for match in judgement.matches} == {"not shown"} == {judgement.speed, judgement.outcome}


def test_every_rival_counts_and_the_hardest_is_named():
    judgement = verdict(results(successes=190), results(successes=185), results(successes=198), results(successes=188))
    assert answers(judgement, "success") == ["shown", "missed", "shown"]
    assert judgement.outcome == "missed"
    hardest = judgement.hardest("success")
    assert hardest is not None
    assert hardest.rival == "rival1 x"


def close():
    """Results of two rows, one just not worse than the other."""
    rng = np.random.default_rng(0)
    ours, theirs = results(), results(successes=199)
    for one in ours.values():
        one["evaluation"]["success"] = (rng.random((STATES, REPEATS)) < 0.96).astype(int).tolist()
    for one in theirs.values():
        one["evaluation"]["success"] = (rng.random((STATES, REPEATS)) < 0.959).astype(int).tolist()
    return ours, theirs


def test_the_more_rivals_the_more_there_is_to_show():
    """The same close comparison is shown alone and not beside 29 others that are as close."""
    ours, theirs = close()
    assert answers(verdict(ours, theirs), "success") == ["shown"]
    assert answers(verdict(ours, *[theirs] * 30), "success") == ["not shown"] * 30


def test_the_more_looks_the_more_there_is_to_show():
    ours, theirs = close()
    first, last = verdict(ours, theirs), verdict(ours, theirs, looks=30)
    assert (answers(first, "success"), answers(last, "success")) == (["shown"], ["not shown"])
    assert (first.looks, last.looks) == (1, 30)
    assert [match.difference for match in first.matches] == [match.difference for match in last.matches]


def test_the_whole_is_missed_with_one_target_and_shown_with_all():
    assert verdict(results()).outcome == "shown"
    slow = verdict(results(p50_ms=2.0))
    assert (slow.outcome, answers(slow, "success")) == ("missed", ["shown"])
    assert overall(["shown", "not shown"]) == "not shown"
    assert overall(["not shown", "missed"]) == "missed"


def test_better_is_above_every_rival_and_of_a_row_that_is_not_worse():
    worse, poorer = results(successes=150), results(successes=195)
    assert verdict(results(), worse, poorer).better == ("success",)
    assert verdict(results(), worse, results()).better == ()
    slow = verdict(results(p50_ms=2.0), worse)
    assert slow.better == ()
    assert {match.better for match in slow.matches if match.target == "success"} == {"shown"}


def test_without_modes_the_score_is_compared():
    judgement = verdict(results(successes=197), modes=None, expert=None)
    assert [(match.target, match.not_worse) for match in judgement.matches] == [("score", "shown")]
    assert judgement.hardest("entropy") is None


def test_trainings_are_compared_with_those_of_the_same_seed():
    """One training fails and one succeeds, in both rows alike: paired, there is no difference."""
    good, bad = results(trainings=1)[0], results(successes=1, trainings=1)[0]
    paired = verdict({0: bad, 1: good}, {0: bad, 1: good})
    turned = verdict({0: bad, 1: good}, {0: good, 1: bad})
    first, other = paired.hardest("success"), turned.hardest("success")
    assert first is not None
    assert other is not None
    assert first.difference.high == pytest.approx(
        CrossedMean.from_values(np.zeros((2, STATES)), 2 * STATES * REPEATS).estimate().high
    )
    assert other.difference.low < -0.5 < 0.5 < other.difference.high
