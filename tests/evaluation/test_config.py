"""What is calibrated is checked when it is asked for."""

import dataclasses

import pytest

from robolearn import seeds
from robolearn.evaluation.calibrate_config import CalibrateConfig
from robolearn.evaluation.config import CHOICES, ActConfig, EvalConfig, Sampling
from robolearn.policies.registry import FAMILIES


def test_no_round_takes_seeds_of_others(monkeypatch):
    first = seeds.CALIBRATION.start
    monkeypatch.setitem(seeds.TAKEN, "others", range(first + 200, first + 210))
    CalibrateConfig(safety_set=True, episodes=100, rounds=1, seed=first)
    with pytest.raises(ValueError, match="overlap with those of others"):
        CalibrateConfig(safety_set=True, episodes=100, rounds=2, seed=first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.001}, "at least 999 are needed"),
        ({"episodes": 10, "band": True}, "half of the episodes"),
        ({"num_envs": 0}, "`num_envs` 0 must be at least 1"),
        ({"rounds": 1}, "`rounds` is for `safety_set`"),
        ({"rounds": -1, "safety_set": True}, "`rounds` -1 must not be negative"),
        ({"safety_set": True, "score": "stac"}, "are for a gate"),
        ({"seed": -1}, "seed -1 must not be negative"),
        ({"band": True, "episodes": 10_001}, "at most 10000 episodes"),
    ],
)
def test_what_cannot_be_calibrated(options, message):
    with pytest.raises(ValueError, match=message):
        CalibrateConfig(**options)


def test_a_fallback_needs_something_that_calls_for_it():
    for config in (ActConfig, EvalConfig):
        with pytest.raises(ValueError, match="need `gate` or `safety_set`"):
            config(fallback="hold")
        assert config(gate=True).acting_fallback == "replan"
        assert config(safety_set=True).acting_fallback == "hold"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": -1}, "`budget` -1 must not be negative"),
        ({"budgets": (5, -1)}, "`budgets` 5 -1: none may be negative"),
    ],
)
def test_a_budget_that_is_negative_is_refused_before_the_rollouts(options, message):
    with pytest.raises(ValueError, match=message):
        EvalConfig(gate=True, **options)


def test_all_that_families_can_be_asked_after_training_can_be_chosen():
    choices = {f.name for cfg in FAMILIES.values() for f in dataclasses.fields(cfg) if f.metadata.get("runtime")}
    assert set(CHOICES) == choices
    assert choices <= {f.name for f in dataclasses.fields(Sampling)}


def test_a_floor_of_probabilities_is_among_the_choices_where_it_was_chosen():
    """What was calibrated earlier goes by a hash of the choices, which must not change by one that was not made."""
    assert Sampling().sampling == {"sampler": None, "steps": None}
    for floor in (0.0, 0.1):
        assert Sampling(min_code_probability=floor).sampling["min_code_probability"] == floor
