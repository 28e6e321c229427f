"""A threshold with hysteresis, and the certificate that ties it to what it was calibrated on."""

import dataclasses
import math

import numpy as np
import pytest

from robolearn.trust.calibrated_gate import SELECTED, BandCalibration, ThresholdCalibration
from robolearn.trust.certificate import VERSION, Certificate, Source
from robolearn.trust.conformal.bands import CONSTANT, Form
from robolearn.trust.conformal.halves import drawn_halves
from robolearn.trust.gate import Gate
from robolearn.types import Trajectory

SOURCE = Source("weights", "envs:robolearn/Avoid-v0", "options")
ONE, TWO = np.zeros(1, int), np.zeros(2, int)


def test_it_starts_above_the_threshold_and_ends_at_the_release():
    gate = Gate("stac", 16, threshold=2.0, release=1.0)
    scores, intervening, decisions = [1.5, 2.0, 2.1, 1.5, 1.1, 1.0, 1.5], np.array([False]), []
    for score in scores:
        intervening = gate.intervenes(np.array([score]), intervening, ONE)
        decisions.append(bool(intervening[0]))
    assert decisions == [False, False, True, True, True, False, False]


def test_nan_starts_an_intervention_and_does_not_end_one():
    gate = Gate("stac", 16, threshold=math.inf, release=math.inf)
    assert gate.intervenes(np.full(2, math.nan), np.array([False, True]), TWO).all()
    assert not gate.intervenes(np.full(2, math.inf), np.array([False, True]), TWO).any()


def test_a_band_judges_by_the_replanning_and_holds_its_last_step():
    gate = Gate("stac", 16, threshold=2.0, release=1.0, form=Form((0.0, 10.0), (1.0, 5.0)))
    assert gate.form.limits(gate.threshold) == (2.0, 20.0)
    scores = np.array([3.0, 3.0, 20.0, 20.1, 20.1, math.nan, 3.0])
    steps, calm = np.array([0, 1, 1, 1, 7, 0, 6]), np.zeros(7, bool)
    assert gate.intervenes(scores, calm, steps).tolist() == [True, False, False, True, True, True, False]
    assert gate.intervenes(np.array([1.5, 1.5]), np.array([True, True]), np.array([0, 1])).tolist() == [True, False]


def test_a_release_above_the_threshold_is_refused():
    with pytest.raises(ValueError, match=r"release 2.0 must be at most the threshold 1.0"):
        Gate("stac", 16, 1.0, 2.0)


def known(peaks, success=None, alpha=0.1, beta=None):
    """A calibration on episodes with these largest scores."""
    peaks = tuple(map(float, peaks))
    success = (True,) * len(peaks) if success is None else tuple(success)
    return ThresholdCalibration(SOURCE, "stac", 16, alpha, beta, tuple(range(len(peaks))), peaks, success)


@pytest.fixture
def calibration():
    rng = np.random.default_rng(0)
    success = rng.random(100) < 0.8
    return known(rng.random(100), success.tolist())


def test_the_threshold_is_the_rank_statistic_of_the_successes(calibration):
    gate = calibration.derive_gate()
    peaks = np.sort([p for p, s in zip(calibration.scores, calibration.success, strict=True) if s])
    assert gate.threshold == peaks[math.ceil(0.9 * (len(peaks) + 1)) - 1]
    assert gate.release == peaks[math.ceil(0.5 * (len(peaks) + 1)) - 1]
    assert (gate.score, gate.num_samples) == ("stac", 16)


def test_failures_do_not_move_the_threshold(calibration):
    peaks = tuple(p if s else 100.0 for p, s in zip(calibration.scores, calibration.success, strict=True))
    assert dataclasses.replace(calibration, scores=peaks).derive_gate() == calibration.derive_gate()


def test_too_few_successes_are_refused():
    with pytest.raises(ValueError, match=r"8 calibration scores .* at least 9 are needed"):
        known(np.arange(12.0), (True,) * 8 + (False,) * 4).derive_gate()


def test_an_infinite_threshold_is_refused():
    """Nine of ten scores are finite, but the rank is the tenth."""
    peaks = [*np.arange(9.0), math.inf]
    with pytest.raises(ValueError, match="1 of 10 calibration scores are infinite"):
        known(peaks).derive_gate()
    assert known([*np.arange(18.0), math.inf]).derive_gate().threshold == 17


def test_a_bound_on_misses_is_kept_or_the_gate_is_refused():
    peaks = np.concatenate([np.arange(100) / 100, 0.93 + np.arange(50) / 100])
    asked = known(peaks, (True,) * 100 + (False,) * 50, beta=0.1)
    gate = asked.derive_gate()
    assert 0.9 <= gate.threshold < 0.93 + 0.05
    assert "of those that fail, at most 0.1" in asked.certify({}).claim
    with pytest.raises(ValueError, match="no threshold on score stac keeps both promises: false alarms of at most"):
        dataclasses.replace(asked, alpha=0.01, beta=0.05).derive_gate()


def test_false_alarms_are_those_of_the_beta_law():
    """400 draws of 60 calibration and 200 new episodes; tolerance 4 standard errors of the mean of Beta(55, 6)."""
    rng, alarms = np.random.default_rng(1), []
    for _ in range(400):
        peaks = rng.standard_normal((60, 12)).max(1)
        gate = known(peaks).derive_gate()
        new = rng.standard_normal((200, 12))
        alarms.append(
            gate.intervenes(new.ravel(), np.zeros(new.size, bool), np.zeros(new.size, int))
            .reshape(new.shape)
            .any(1)
            .mean()
        )
    assert np.mean(alarms) == pytest.approx(1 - 55 / 61, abs=4 * 0.045 / 20)


def test_a_certificate_says_what_its_calibration_gives(calibration):
    certificate = calibration.certify({"calibration.json": "1234"})
    certificate.check(calibration.certify({"calibration.json": "1234"}))
    assert calibration.source.gap(SOURCE) == ""
    assert certificate.num_calibration == sum(calibration.success)
    assert certificate.threshold == calibration.derive_gate().threshold
    assert "at most 0.1" in certificate.claim


def test_the_spread_is_that_of_the_beta_law():
    """63 successes at alpha 0.1 have the rank 58: the share above it is Beta(6, 58) distributed."""
    certificate = known(np.arange(63.0)).certify({})
    assert certificate.spread == pytest.approx((0.0358, 0.1756), abs=1e-4)
    rng = np.random.default_rng(0)
    shares = 1 - np.sort(rng.random((4000, 63)), axis=1)[:, 57]
    inside = (certificate.spread[0] <= shares) & (shares <= certificate.spread[1])
    assert inside.mean() == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / 4000))
    assert certificate.miss_spread is None


def test_the_spread_of_the_misses_is_that_of_the_beta_law():
    """50 failures at beta 0.1 have the rank 5: the share below it is Beta(5, 46) distributed."""
    peaks = np.concatenate([np.arange(100) / 100, 0.93 + np.arange(50) / 100])
    certificate = known(peaks, (True,) * 100 + (False,) * 50, beta=0.1).certify({})
    rng = np.random.default_rng(0)
    shares = np.sort(rng.random((4000, 50)), axis=1)[:, 4]
    low, high = certificate.miss_spread
    assert ((low <= shares) & (shares <= high)).mean() == pytest.approx(0.95, abs=0.014)


def test_two_promises_are_said_to_count_calibrations_that_abstain():
    peaks = np.concatenate([np.arange(100) / 100, 0.93 + np.arange(50) / 100])
    asked = known(peaks, (True,) * 100 + (False,) * 50)
    one, two = (dataclasses.replace(asked, beta=beta).certify({}).conditions for beta in (None, 0.1))
    assert two == (*one, SELECTED)


EDITS = {
    "version": VERSION + 1,
    "claim": "nothing ever fails",
    "conditions": ("always",),
    "threshold": 9.0,
    "spread": (0.0, 0.01),
    "miss_spread": (0.0, 0.01),
    "num_calibration": 1000,
    "files": {},
}


@pytest.mark.parametrize("field", EDITS)
def test_nothing_that_a_certificate_says_is_believed(calibration, field):
    derived = calibration.certify({"calibration.json": "1234"})
    edited = dataclasses.replace(derived, **{field: EDITS[field]})
    with pytest.raises(ValueError, match=f"the certificate says {field} .* calibrate again"):
        edited.check(derived)


def test_every_field_of_a_certificate_was_edited():
    assert set(EDITS) == {field.name for field in dataclasses.fields(Certificate)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": "others"}, "not of this checkpoint"),
        ({"env_id": "envs:robolearn/Push-v0"}, "calibrated in envs:robolearn/Avoid-v0, not in .*Push"),
    ],
)
def test_what_was_not_calibrated_is_refused(calibration, changes, message):
    with pytest.raises(ValueError, match=message):
        calibration.source.check(dataclasses.replace(SOURCE, **changes))


@pytest.mark.parametrize(
    ("changes", "gap"),
    [
        ({"configuration": "moved"}, "another environment or execution"),
        ({"chosen_by": "the safety set 12"}, "in which the policy chose the chunks, not the safety set 12"),
    ],
)
def test_other_options_are_let_pass_but_not_covered(calibration, changes, gap):
    other = dataclasses.replace(SOURCE, **changes)
    calibration.source.check(other)
    assert gap in calibration.source.gap(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": (0,) * 100}, "an episode is there twice"),
        ({"success": (True,) * 99}, "100 seeds, 100 scores and 99 successes"),
        ({"scores": (0.0, math.nan) * 50}, "50 of 100 calibration scores are NaN"),
    ],
)
def test_odd_calibrations_are_refused(calibration, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(calibration, **changes)


def trajectory(scores, success, seed=0):
    zeros = np.zeros(len(scores))
    return Trajectory(
        0, seed, {}, np.zeros((len(scores), 1)), zeros, zeros, success, -1, "time", {"stac": np.array(scores)}
    )


def test_an_episode_counts_by_its_largest_score():
    trajectories = [trajectory([0.1, 0.7, 0.2], True, 5), trajectory([0.3], False, 9)]
    calibrated = ThresholdCalibration.from_trajectories(trajectories, SOURCE, "stac", 16, 0.2, 0.3)
    assert calibrated == ThresholdCalibration(SOURCE, "stac", 16, 0.2, 0.3, (5, 9), (0.7, 0.3), (True, False))


def test_nan_scores_cannot_be_calibrated_on():
    with pytest.raises(ValueError, match="1 of 2 calibration scores are NaN"):
        ThresholdCalibration.from_trajectories(
            [trajectory([0.1, math.nan], True, 1), trajectory([0.3], True)], SOURCE, "stac", 16, 0.1
        )


def episodes(rng, n):
    """Scores that grow over episodes of 5 to 30 replannings."""
    lengths = rng.integers(5, 31, n)
    return tuple(
        tuple((np.arange(k) * 0.2 + (0.1 + 0.02 * np.arange(k)) * rng.standard_normal(k)).tolist()) for k in lengths
    )


def band(rng, n=80, failures=0, alpha=0.1, beta=None):
    scores = (*episodes(rng, n), *(tuple(s + 3 for s in one) for one in episodes(rng, failures)))
    success = (True,) * n + (False,) * failures
    return BandCalibration(SOURCE, "stac", 16, alpha, beta, tuple(range(n + failures)), scores, success)


def test_a_band_keeps_its_promise_and_follows_the_score():
    """100 draws of 40 + 40 calibration and 50 new episodes: 4 of 41 in the mean, that of Beta(4, 37)."""
    rng, rates = np.random.default_rng(2), []
    for _ in range(100):
        gate, new = band(rng).derive_gate(), episodes(rng, 50)
        steps, scores = np.concatenate([np.arange(len(one)) for one in new]), np.concatenate(new)
        alarmed = gate.intervenes(scores, np.zeros(len(scores), bool), steps)
        rates.append(np.logical_or.reduceat(alarmed, np.flatnonzero(steps == 0)).mean())
    assert np.mean(rates) == pytest.approx(4 / 41, abs=4 * np.std(rates) / math.sqrt(100))
    limits = gate.form.limits(gate.threshold)
    assert limits[0] < 2 < 3 < limits[15]


def test_a_band_is_derived_from_successes_alone_and_each_half_has_one_use():
    asked = band(np.random.default_rng(0))
    gate, scores = asked.derive_gate(), asked.scores
    shaping, others = ([scores[i] for i in half] for half in drawn_halves(80))
    assert gate.form == Form.fit(shaping, 0.1) != CONSTANT
    heights = [gate.form.heights(np.array(one), np.arange(len(one))).max() for one in others]
    assert gate.threshold == np.sort(heights)[math.ceil(0.9 * 41) - 1]
    assert gate.release == np.sort(heights)[math.ceil(0.5 * 41) - 1]
    more = dataclasses.replace(
        asked,
        seeds=tuple(range(83)),
        scores=((99.0,), *scores, (98.0, 1.0), (97.0,)),
        success=(False, *asked.success, False, False),
    )
    assert more.derive_gate() == gate
    assert len(more.failures) == 3
    certificate = more.certify({})
    assert certificate.num_calibration == 40
    assert "above its band" in certificate.claim


def test_a_band_may_promise_something_of_misses():
    asked = band(np.random.default_rng(0), failures=60, beta=0.2)
    gate = asked.derive_gate()
    assert (asked.failures <= gate.threshold).mean() <= 0.2
    with pytest.raises(ValueError, match="keeps both promises"):
        dataclasses.replace(asked, success=tuple(i % 2 == 0 for i in range(140))).derive_gate()


@pytest.mark.parametrize(("n", "message"), [(0, "0 calibration scores"), (17, "8 calibration scores .* at least 9")])
def test_a_band_of_too_few_successes_is_refused(n, message):
    with pytest.raises(ValueError, match=message):
        band(np.random.default_rng(0), n, failures=5).derive_gate()


def test_a_band_takes_every_score_of_an_episode():
    asked = BandCalibration.from_trajectories([trajectory([0.1, 0.7, 0.2], True, 5)], SOURCE, "stac", 16, 0.2)
    assert (asked.seeds, asked.scores) == ((5,), ((0.1, 0.7, 0.2),))
    with pytest.raises(ValueError, match="1 of 1 calibration scores are NaN"):
        BandCalibration.from_trajectories([trajectory([0.1, math.nan, 0.2], True, 5)], SOURCE, "stac", 16, 0.2)
