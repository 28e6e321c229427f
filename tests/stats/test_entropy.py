import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robolearn.stats.bootstrap import percentile_interval
from robolearn.stats.entropy import (
    conditional_mode_entropies,
    expected_mode_entropy,
    mode_entropy,
    mode_entropy_estimate,
)


def succeeded(modes):
    return np.ones(np.shape(modes), bool)


def ends(modes, *args, **kwargs):
    entropy = mode_entropy_estimate(modes, *args, **kwargs)
    assert (entropy.value, entropy.n) == (mode_entropy(modes, args[0]), len(modes))
    return entropy.low, entropy.high


def test_mode_entropy_known_values():
    assert mode_entropy(np.zeros(50, np.int64), 24) == 0.0
    assert mode_entropy(np.arange(2400) % 24, 24) == 1.0
    # Two modes, 3 to 1, four draws: (0.5623 + 1/8) / log 2.
    assert mode_entropy(np.array([0, 0, 0, 1]), 2) == pytest.approx((0.562335 + 0.125) / math.log(2), abs=1e-5)


def test_mode_entropy_is_nearly_unbiased_where_the_plug_in_is_not():
    rng = np.random.default_rng(0)
    draws = rng.integers(24, size=(300, 200))
    corrected = np.mean([mode_entropy(d, 24) for d in draws])
    p = np.stack([np.bincount(d, minlength=24) for d in draws]) / 200
    plug_in = np.mean(-(p * np.log(np.where(p > 0, p, 1))).sum(-1) / math.log(24))
    assert corrected > 0.993
    assert plug_in < 0.985


MODE_CASES = {
    "24 equal": np.ones(24),
    "12 of 24": np.r_[np.ones(12), np.zeros(12)],
    "tilted": np.linspace(1, 3, 24),
    "geometric": 0.85 ** np.arange(24),
    "two, 3 to 1": np.array([3.0, 1.0]),
    "two equal": np.ones(2),
}


@pytest.mark.parametrize("case", MODE_CASES)
def test_mode_entropy_interval_covers_the_truth(case):
    p = MODE_CASES[case] / MODE_CASES[case].sum()
    truth = -(p * np.log(np.where(p > 0, p, 1))).sum() / math.log(len(p))
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(150):
        low, high = ends(rng.choice(len(p), 200, p=p), len(p), num_resamples=400)
        hits += low - 1e-9 <= truth <= high + 1e-9
    assert hits / 150 >= 0.89  # 0.95 nominal; one standard error of 150 trials is 0.018


def test_a_percentile_interval_of_the_plain_entropy_would_not_cover():
    def plain(rows):
        p = np.stack([np.bincount(r.astype(int), minlength=24) for r in rows]) / rows.shape[1]
        return -(p * np.log(np.where(p > 0, p, 1))).sum(-1) / math.log(24)

    modes = np.random.default_rng(0).integers(24, size=200)
    rows = modes[np.random.default_rng(0).integers(200, size=(400, 200))]
    assert percentile_interval(plain(rows))[1] < 0.99  # the truth is 1
    assert ends(modes, 24)[1] == 1.0


@given(modes=st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_mode_entropy_interval_holds_its_estimate(modes):
    array = np.array(modes)
    low, high = ends(array, 6, num_resamples=50)
    assert 0 <= low <= mode_entropy(array, 6) <= high <= 1


def test_one_mode_seen_does_not_prove_that_there_is_only_one():
    low, few = ends(np.zeros(10, np.int64), 24)
    _, many = ends(np.zeros(1000, np.int64), 24)
    assert low == 0
    assert few > 0.3
    assert 0 < many < 0.02
    assert ends(np.zeros(1, np.int64), 24)[1] == pytest.approx(1.0, abs=0.01)


def test_mode_entropy_rejects_bad_input():
    with pytest.raises(ValueError, match=r"0\.\.2"):
        mode_entropy(np.array([0, 3]), 3)
    with pytest.raises(ValueError, match=r"0\.\.2"):
        mode_entropy(np.array([-1]), 3)
    with pytest.raises(ValueError, match="num_modes"):
        mode_entropy(np.array([0]), 1)
    with pytest.raises(ValueError, match="at least one episode"):
        mode_entropy(np.array([], np.int64), 3)


def test_intervals_of_the_entropy_over_groups():
    modes = np.tile([0, 1, 2, 3], 10)
    assert ends(modes, 4, np.zeros(40, np.int64)) == (0.0, 1.0)
    assert ends(modes, 4, np.arange(40)) == ends(modes, 4)
    low, _ = ends(modes, 4, np.arange(40) % 8)
    assert low < ends(modes, 4)[0] - 0.05
    _, one_mode = ends(np.zeros(40, np.int64), 4, np.arange(40) % 5)
    assert one_mode == ends(np.zeros(5, np.int64), 4)[1]


# Per initial state


def test_entropy_is_per_initial_state():
    """Each start one way, each another one: no choice is left to a start, however many ways there are in all."""
    modes = np.repeat(np.arange(6)[:, None], 8, axis=1)
    assert conditional_mode_entropies(succeeded(modes), modes, 6).tolist() == [0] * 6
    assert mode_entropy(modes.ravel(), 6) == 1  # the mutant: over all episodes together


def test_entropy_counts_successes_only_and_no_success_is_no_coverage():
    modes = np.array([[0, 1, 0, 1], [0, 1, 2, 3], [0, 1, -1, -1]])
    success = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    pair = (math.log(2) + 1 / 4) / math.log(4)  # two modes once each, with Miller and Madow's (2 - 1) / (2 * 2)
    assert conditional_mode_entropies(success, modes, 4) == pytest.approx([pair, 0, pair])


def test_entropy_is_corrected():
    """600 draws of 24 equal modes 24 at a time; standard error of the mean 0.001."""
    modes = np.random.default_rng(0).integers(24, size=(600, 24))
    plug_in = [-(p * np.log(p)).sum() / math.log(24) for p in (np.unique(m, return_counts=True)[1] / 24 for m in modes)]
    shown = conditional_mode_entropies(succeeded(modes), modes, 24).mean()
    assert shown == pytest.approx(0.921, abs=0.006)
    assert np.mean(plug_in) == pytest.approx(0.826, abs=0.006)  # the mutant without the correction


def test_the_demonstrators_value_is_what_their_own_episodes_show():
    modes = np.random.default_rng(1).choice(4, p=[0.7, 0.1, 0.1, 0.1], size=(500, 6))
    shown = conditional_mode_entropies(succeeded(modes), modes, 4).mean()
    assert expected_mode_entropy(np.array([0.7, 0.1, 0.1, 0.1]), 6) == pytest.approx(shown, abs=0.03)
    assert expected_mode_entropy(np.array([1.0, 0.0]), 6) == 0


@given(arrays(np.int64, (3, 8), elements=st.integers(-1, 4)), arrays(bool, (3, 8)), st.permutations(range(8)))
def test_the_order_of_repetitions_does_not_matter(modes, success, order):
    order = np.array(order)
    one = conditional_mode_entropies(success, modes, 5)
    assert one == pytest.approx(conditional_mode_entropies(success[:, order], modes[:, order], 5))
    assert ((one >= 0) & (one <= 1)).all()
