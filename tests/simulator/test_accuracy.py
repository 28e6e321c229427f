"""The energy score of paths is least for the law that they come from."""

import numpy as np
import pytest

from robolearn.errors import UserError
from robolearn.simulator import accuracy as accuracy_module
from robolearn.simulator.accuracy import ENSEMBLE, PERSISTENCE, SIMULATOR, measure_accuracy, score_paths, units
from robolearn.simulator.config import AccuracyConfig
from tests.simulator import point

CFG = AccuracyConfig(horizons=(1, 5, 20), samples=16, starts=4, ensemble_steps=300)


def episodes(count, seed):
    rng, rollouts = np.random.default_rng(seed), []
    for _ in range(count):
        actions = rng.uniform(-1, 1, (40, 1))
        start = rng.uniform(-0.4, 0.4, 1)
        path = point.sampled(rng, start, actions.T, 1)[0, 0]
        rollouts.append((np.concatenate([start[None], path]), actions))
    return rollouts


def test_the_true_law_beats_a_biased_and_an_over_confident_one():
    """All intervals of the differences lie below 0; each is wrong in 1 of 40 cases at most where nothing differs."""
    rng = np.random.default_rng(1)

    def paths(**changes):
        return lambda history, actions: point.sampled(rng, history[:, -1, 0], actions[..., 0], 16, **changes)

    who = {SIMULATOR: paths(), "biased": paths(bias=0.02), "sure": paths(noise=0.01), "unsure": paths(noise=0.15)}
    accuracy = score_paths(who, episodes(150, 0), np.ones(1), 1, CFG)
    for other in ("biased", "sure", "unsure"):
        assert all(accuracy.less(other, horizon).high < 0 for horizon in (5, 20)), other


def test_one_who_knows_a_point_is_scored_by_its_distance():
    states = np.arange(6.0)[:, None]
    who = {SIMULATOR: lambda history, actions: np.repeat(history[:, None, -1:], 5, 2).repeat(2, 1)}
    cfg = AccuracyConfig(horizons=(1, 3, 5), starts=1)
    accuracy = score_paths(who, [(states, states[:-1])], np.full(1, 2.0), 1, cfg)
    np.testing.assert_allclose(accuracy.scores[SIMULATOR], [[0.5, 1.5, 2.5]])


def test_behind_the_end_of_an_episode_nothing_is_scored():
    states = np.arange(4.0)[:, None]
    who = {SIMULATOR: lambda history, actions: np.zeros((len(history), 2, 9, 1))}
    accuracy = score_paths(who, [(states, states[:-1])], np.ones(1), 1, AccuracyConfig(horizons=(1, 3, 9), starts=3))
    assert np.isnan(accuracy.scores[SIMULATOR]).tolist() == [[False, False, True], *[[False, True, True]] * 2]
    assert accuracy.score(SIMULATOR, 9) is None


def test_where_paths_leave_the_numbers_there_is_no_mean_of_the_others():
    states = np.arange(4.0)[:, None]

    def paths(history, actions):
        ahead = np.zeros((len(history), 2, 3, 1))
        ahead[0, 1, 2], ahead[1, 0, 1] = np.inf, np.nan  # one start after three steps, the next after two
        return ahead

    who = {SIMULATOR: paths, "still": lambda history, actions: np.zeros((len(history), 2, 3, 1))}
    accuracy = score_paths(who, [(states, states[:-1])], np.ones(1), 1, AccuracyConfig(horizons=(1, 2, 3), starts=3))
    assert [accuracy.diverged(SIMULATOR, horizon) for horizon in (1, 2, 3)] == [0, 1, 1]
    assert [accuracy.score(SIMULATOR, horizon) is None for horizon in (1, 2, 3)] == [False, True, True]
    assert [accuracy.less("still", horizon) is None for horizon in (1, 2, 3)] == [False, True, True]
    assert accuracy.score("still", 3) is not None
    assert accuracy.to_json()["diverged"] == {SIMULATOR: {"1": 0, "2": 1, "3": 1}, "still": {"1": 0, "2": 0, "3": 0}}


def test_a_number_that_never_changes_is_measured_in_its_own_unit():
    """The mean of 1001 times 0.1 in single precision is not 0.1, and the spread around it 1.5e-8."""
    states = np.stack([np.full(1001, 0.1), np.linspace(-1, 1, 1001)], axis=1, dtype=np.float32)
    assert states.std(0)[0] > 0
    np.testing.assert_allclose(units(states), [1, states[:, 1].std()], rtol=1e-5)


@pytest.mark.long
def test_a_learned_simulator_knows_more_than_others(simulator):
    accuracy = measure_accuracy(simulator, CFG)
    assert accuracy.less(PERSISTENCE, 5).high < 0
    assert accuracy.less(ENSEMBLE, 5).high < 0
    assert accuracy.less(ENSEMBLE, 20).high < 0
    assert (simulator.directory / "accuracy.json").exists()
    again = measure_accuracy(simulator.directory, CFG)
    for who, scores in accuracy.scores.items():
        np.testing.assert_array_equal(again.scores[who], scores)


def test_where_no_file_can_be_written_nothing_is_predicted(simulator, monkeypatch):
    monkeypatch.setattr(accuracy_module, "FILE", "config.json/accuracy.json")
    monkeypatch.setattr(accuracy_module, "score_paths", None)
    with pytest.raises(OSError, match=r"config\.json"):
        measure_accuracy(simulator, CFG)


def test_episodes_that_are_too_short_are_refused(simulator):
    with pytest.raises(UserError, match="no held-out episode goes on for 1000 steps"):
        measure_accuracy(simulator, AccuracyConfig(horizons=(1000,)))


@pytest.mark.parametrize(("changes", "said"), [({"horizons": (0,)}, "horizons"), ({"samples": 1}, "samples")])
def test_impossible_comparisons_are_refused(changes, said):
    with pytest.raises(UserError, match=f"`{said}`"):
        AccuracyConfig(**changes)
