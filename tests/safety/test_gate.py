"""A threshold with hysteresis, and the certificate that ties it to what it was calibrated on."""

import dataclasses
import math

import numpy as np
import pytest

from robolearn.safety.certificate import Calibration, Source, certify, derive_gate, gate_claim
from robolearn.safety.gate import Gate
from robolearn.types import Trajectory

SOURCE = Source("weights", "envs:robolearn/Avoid-v0", "options")


def test_it_starts_above_the_threshold_and_ends_at_the_release():
    gate = Gate("stac", 16, threshold=2.0, release=1.0)
    scores, intervening, decisions = [1.5, 2.0, 2.1, 1.5, 1.1, 1.0, 1.5], np.array([False]), []
    for score in scores:
        intervening = gate.intervenes(np.array([score]), intervening)
        decisions.append(bool(intervening[0]))
    assert decisions == [False, False, True, True, True, False, False]


def test_nan_starts_an_intervention_and_does_not_end_one():
    gate = Gate("stac", 16, threshold=math.inf, release=math.inf)
    assert gate.intervenes(np.full(2, math.nan), np.array([False, True])).all()
    assert not gate.intervenes(np.full(2, math.inf), np.array([False, True])).any()


def test_a_release_above_the_threshold_is_refused():
    with pytest.raises(ValueError, match=r"release 2.0 must be at most the threshold 1.0"):
        Gate("stac", 16, 1.0, 2.0)


@pytest.fixture
def calibration():
    rng = np.random.default_rng(0)
    success = rng.random(100) < 0.8
    return Calibration(tuple(range(100)), tuple(rng.random(100).tolist()), tuple(success.tolist()))


def test_the_threshold_is_the_rank_statistic_of_the_successes(calibration):
    gate = derive_gate(calibration, 0.1, "stac", 16)
    peaks = np.sort([p for p, s in zip(calibration.peaks, calibration.success, strict=True) if s])
    assert gate.threshold == peaks[math.ceil(0.9 * (len(peaks) + 1)) - 1]
    assert gate.release == peaks[math.ceil(0.5 * (len(peaks) + 1)) - 1]


def test_failures_do_not_move_the_threshold(calibration):
    peaks = [p if s else 100.0 for p, s in zip(calibration.peaks, calibration.success, strict=True)]
    other = dataclasses.replace(calibration, peaks=tuple(peaks))
    assert derive_gate(other, 0.1, "stac", 16) == derive_gate(calibration, 0.1, "stac", 16)


def test_too_few_successes_are_refused():
    few = Calibration(tuple(range(12)), tuple(np.arange(12.0)), (True,) * 8 + (False,) * 4)
    with pytest.raises(ValueError, match=r"8 calibration scores .* at least 9 are needed"):
        derive_gate(few, 0.1, "stac", 16)


def test_a_bound_on_misses_is_kept_or_the_gate_is_refused():
    peaks = tuple(np.concatenate([np.arange(100) / 100, 0.93 + np.arange(50) / 100]).tolist())
    known = Calibration(tuple(range(150)), peaks, (True,) * 100 + (False,) * 50)
    gate = derive_gate(known, 0.1, "stac", 16, beta=0.1)
    assert 0.9 <= gate.threshold < 0.93 + 0.05
    certificate = certify(gate, known, 0.1, SOURCE, gate_claim(gate, 0.1, 0.1), 0.1)
    certificate.check(gate, known, SOURCE)
    assert "of those that fail, at most 0.1" in certificate.claim
    with pytest.raises(ValueError, match="no threshold on score stac keeps both promises: false alarms of at most"):
        derive_gate(known, 0.01, "stac", 16, beta=0.05)


def test_false_alarms_are_those_of_the_beta_law():
    """400 draws of 60 calibration and 200 new episodes; tolerance 4 standard errors of the mean of Beta(55, 6)."""
    rng, alarms = np.random.default_rng(1), []
    for _ in range(400):
        peaks = rng.standard_normal((60, 12)).max(1)
        gate = derive_gate(Calibration(tuple(range(60)), tuple(peaks), (True,) * 60), 0.1, "stac", 16)
        new = rng.standard_normal((200, 12))
        alarms.append(gate.intervenes(new.ravel(), np.zeros(new.size, bool)).reshape(new.shape).any(1).mean())
    assert np.mean(alarms) == pytest.approx(1 - 55 / 61, abs=4 * 0.045 / 20)


def test_a_certificate_is_derived_again_from_its_episodes(calibration):
    gate = derive_gate(calibration, 0.1, "stac", 16)
    certificate = certify(gate, calibration, 0.1, SOURCE, gate_claim(gate, 0.1))
    certificate.check(gate, calibration, SOURCE)
    assert certificate.covers(SOURCE)
    assert certificate.num_calibration == sum(calibration.success)
    assert "at most 0.1" in certificate.claim


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate": {"threshold": 9.0}}, "the gate has threshold 9 "),
        ({"gate": {"release": 0.0}}, "release 0,"),
        ({"certificate": {"alpha": 0.2}}, "the gate has threshold"),
        ({"calibration": {"seeds": tuple(range(1, 101))}}, "not of this calibration"),
        ({"calibration": {"success": (True,) * 100}}, "not of this calibration"),
        ({"source": {"checkpoint": "others"}}, "not of this checkpoint"),
        ({"source": {"env_id": "envs:robolearn/Push-v0"}}, "calibrated in envs:robolearn/Avoid-v0, not in .*Push"),
    ],
)
def test_what_was_changed_is_refused(calibration, changes, message):
    gate = derive_gate(calibration, 0.1, "stac", 16)
    parts = {
        "gate": gate,
        "certificate": certify(gate, calibration, 0.1, SOURCE, gate_claim(gate, 0.1)),
        "calibration": calibration,
        "source": SOURCE,
    }
    for name, fields in changes.items():
        parts[name] = dataclasses.replace(parts[name], **fields)
    certificate = parts.pop("certificate")
    with pytest.raises(ValueError, match=message):
        certificate.check(**parts)


def test_other_options_are_let_pass_but_not_covered(calibration):
    gate = derive_gate(calibration, 0.1, "stac", 16)
    certificate = certify(gate, calibration, 0.1, SOURCE, gate_claim(gate, 0.1))
    moved = dataclasses.replace(SOURCE, configuration="moved")
    certificate.check(gate, calibration, moved)
    assert not certificate.covers(moved)


def trajectory(scores, success, seed=0):
    zeros = np.zeros(len(scores))
    return Trajectory(
        0, seed, {}, np.zeros((len(scores), 1)), zeros, zeros, success, -1, "time", {"stac": np.array(scores)}
    )


def test_an_episode_counts_by_its_largest_score():
    found = Calibration.of([trajectory([0.1, 0.7, 0.2], True, 5), trajectory([0.3], False, 9)], "stac")
    assert found == Calibration((5, 9), (0.7, 0.3), (True, False))


def test_nan_scores_cannot_be_calibrated_on():
    with pytest.raises(ValueError, match="1 of 2 calibration scores are NaN"):
        Calibration.of([trajectory([0.1, math.nan], True), trajectory([0.3], True)], "stac")
