import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.rollout.intervals import bootstrap_interval, mode_entropy, mode_entropy_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    # Textbook values: Newcombe 1998 (81/263, 15/148, 0/20, 1/29) and the usual 8/10.
    [
        (8, 10, (0.4902, 0.9433)),
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_textbook_values(successes, n, expected):
    assert wilson_interval(successes, n) == pytest.approx(expected, abs=6e-5)


@given(n=st.integers(1, 500), data=st.data())
def test_wilson_holds_its_estimate_and_is_symmetric(n, data):
    k = data.draw(st.integers(0, n))
    low, high = wilson_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert wilson_interval(n - k, n) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_rejects_impossible_counts(successes, n):
    with pytest.raises(ValueError, match=r"successes|episode"):
        wilson_interval(successes, n)


def test_bootstrap_of_a_mean_matches_the_normal_interval():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = bootstrap_interval(values, lambda x: x.mean(-1))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert bootstrap_interval(values, lambda x: x.mean(-1)) == (low, high)


def test_bootstrap_of_one_value_claims_nothing():
    assert bootstrap_interval(np.array([0.3]), lambda x: x.mean(-1)) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_interval(np.array([]), lambda x: x.mean(-1))


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
        low, high = mode_entropy_interval(rng.choice(len(p), 200, p=p), len(p), num_resamples=400)
        hits += low - 1e-9 <= truth <= high + 1e-9
    assert hits / 150 >= 0.89  # 0.95 nominal; one standard error of 150 trials is 0.018


def test_a_percentile_interval_of_the_plain_entropy_would_not_cover():
    def plain(rows):
        p = np.stack([np.bincount(r.astype(int), minlength=24) for r in rows]) / rows.shape[1]
        return -(p * np.log(np.where(p > 0, p, 1))).sum(-1) / math.log(24)

    modes = np.random.default_rng(0).integers(24, size=200)
    assert bootstrap_interval(modes.astype(float), plain, num_resamples=400)[1] < 0.99  # the truth is 1
    assert mode_entropy_interval(modes, 24)[1] == 1.0


@given(modes=st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_mode_entropy_interval_holds_its_estimate(modes):
    array = np.array(modes)
    low, high = mode_entropy_interval(array, 6, num_resamples=50)
    assert 0 <= low <= mode_entropy(array, 6) <= high <= 1


def test_one_mode_seen_does_not_prove_that_there_is_only_one():
    low, few = mode_entropy_interval(np.zeros(10, np.int64), 24)
    _, many = mode_entropy_interval(np.zeros(1000, np.int64), 24)
    assert low == 0
    assert few > 0.3
    assert 0 < many < 0.02
    assert mode_entropy_interval(np.zeros(1, np.int64), 24)[1] == pytest.approx(1.0, abs=0.01)


def test_mode_entropy_rejects_bad_input():
    with pytest.raises(ValueError, match=r"0\.\.2"):
        mode_entropy(np.array([0, 3]), 3)
    with pytest.raises(ValueError, match=r"0\.\.2"):
        mode_entropy(np.array([-1]), 3)
    with pytest.raises(ValueError, match="num_modes"):
        mode_entropy(np.array([0]), 1)
    with pytest.raises(ValueError, match="at least one episode"):
        mode_entropy(np.array([], np.int64), 3)
