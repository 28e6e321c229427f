"""Splits are by episode: disjoint, complete, reproducible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.data.splits import bootstrap_episodes, split_episodes, usable_episodes

NAMES = ("train", "validation", "calibration", "test")


@given(
    num=st.integers(40, 500),
    weights=st.lists(st.integers(2, 9), min_size=1, max_size=4),
    seed=st.integers(0, 9),
)
def test_parts_are_disjoint_and_complete(num, weights, seed):
    fractions = {n: w / sum(weights) for n, w in zip(NAMES, weights, strict=False)}
    parts = split_episodes(num, fractions, seed)
    together = np.concatenate(list(parts.values()))
    assert list(parts) == list(fractions)
    assert sorted(together) == list(range(num))
    for name, part in parts.items():
        assert abs(len(part) - fractions[name] * num) <= 1
        assert (np.diff(part) > 0).all()


def test_seed_fixes_the_split():
    fractions = {"train": 0.8, "test": 0.1}
    a, b, c = (split_episodes(100, fractions, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a["train"], b["train"])
    assert not np.array_equal(a["train"], c["train"])
    assert sum(map(len, a.values())) == 90


def test_a_bootstrap_draws_from_its_episodes_with_replacement():
    episodes = np.arange(100, 1100)
    drawn = bootstrap_episodes(episodes, seed=0)
    assert len(drawn) == 1000
    assert np.isin(drawn, episodes).all()
    assert (np.diff(drawn) >= 0).all()
    assert len(np.unique(drawn)) / 1000 == pytest.approx(1 - np.exp(-1), abs=0.03)  # without replacement: 1
    np.testing.assert_array_equal(drawn, bootstrap_episodes(episodes, seed=0))
    assert not np.array_equal(drawn, bootstrap_episodes(episodes, seed=1))


@pytest.mark.parametrize("fractions", [{"train": 0.9, "test": 0.2}, {"train": 1.1}, {"train": 0.0}, {"train": -0.5}])
def test_impossible_fractions(fractions):
    with pytest.raises(ValueError, match="fractions"):
        split_episodes(10, fractions, 0)


def test_no_part_is_left_empty():
    with pytest.raises(ValueError, match=r"split 'test': a share of 0\.01 of 10 episodes is no episode"):
        split_episodes(10, {"train": 0.9, "test": 0.01}, 0)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 9))
def test_short_episodes(lengths, window):
    lengths = np.array(lengths)
    long = np.flatnonzero(lengths >= window)
    np.testing.assert_array_equal(usable_episodes(lengths, window, "pad"), np.arange(len(lengths)))
    if len(long) == len(lengths):
        np.testing.assert_array_equal(usable_episodes(lengths, window, "refuse"), long)
    else:
        first = np.flatnonzero(lengths < window)[0]
        with pytest.raises(ValueError, match=f"^episode {first} has {lengths[first]} steps, a window {window} "):
            usable_episodes(lengths, window, "refuse")
        with pytest.raises(ValueError, match=f"episode {10 * int(np.argmax(lengths < window))} has"):
            usable_episodes(lengths, window, "refuse", numbers=10 * np.arange(len(lengths)))
    if len(long):
        np.testing.assert_array_equal(usable_episodes(lengths, window, "drop"), long)
    else:
        with pytest.raises(ValueError, match="episode 0 has"):
            usable_episodes(lengths, window, "drop")
