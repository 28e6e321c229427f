"""Tests of margins: against closed forms, scipy's t-test, and by simulation at the margin itself."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from robolearn.stats.margins import LEVEL, CrossedMean, holm, outcomes


def test_where_seeds_alone_vary_it_is_students_test_over_seeds():
    per_seed = np.array([0.1, 0.3, -0.2, 0.4, 0.2])
    mean = CrossedMean.from_values(np.repeat(per_seed[:, None], 30, axis=1), 900)
    student = ttest_1samp(per_seed, 0.05, alternative="greater")
    assert mean.p_below(0.05) == pytest.approx(student.pvalue)
    assert mean.freedom == pytest.approx(4)
    low, high = student.confidence_interval(1 - LEVEL)
    assert (mean.estimate().low, high) == (pytest.approx(low), math.inf)


def test_where_states_alone_vary_it_is_students_test_over_states():
    per_state = np.random.default_rng(0).standard_normal(20)
    mean = CrossedMean.from_values(np.tile(per_state, (5, 1)), 100)
    assert mean.p_above(-0.3) == pytest.approx(ttest_1samp(per_state, -0.3, alternative="less").pvalue)


def test_what_seeds_and_states_both_hold_counts_once():
    """The variance by mean squares of a two-way layout: (of seeds + of states - of the rest) / s c."""
    rng, (s, c) = np.random.default_rng(0), (4, 6)
    values = rng.standard_normal((s, 1)) + rng.standard_normal((1, c)) + rng.standard_normal((s, c))
    of_seeds = c * np.square(values.mean(1) - values.mean()).sum() / (s - 1)
    of_states = s * np.square(values.mean(0) - values.mean()).sum() / (c - 1)
    whole = np.square(values - values.mean()).sum()
    rest = (whole - (s - 1) * of_seeds - (c - 1) * of_states) / ((s - 1) * (c - 1))
    assert min(of_seeds, of_states) > rest  # otherwise the larger part alone counts
    assert CrossedMean.from_values(values, 10_000).error ** 2 == pytest.approx((of_seeds + of_states - rest) / (s * c))


def test_one_seed_or_one_state_shows_nothing():
    for shape in ((1, 40), (5, 1)):
        mean = CrossedMean.from_values(np.ones(shape), 40)
        assert not mean.estimate().has_interval
        assert outcomes([mean], [-100.0]) == ["not shown"]


def test_what_never_differs_may_differ_in_three_of_n_episodes():
    estimate = CrossedMean.from_values(np.zeros((5, 40)), 600).estimate()
    assert (estimate.value, estimate.high) == (0, pytest.approx(2.78 * 1.5 / 600, rel=0.01))
    assert outcomes([CrossedMean.from_values(np.zeros((5, 40)), 600)], [-0.02]) == ["shown"]
    assert outcomes([CrossedMean.from_values(np.zeros((5, 40)), 60)], [-0.02]) == ["not shown"]


@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3, -1e6 / 3])
@pytest.mark.parametrize("shape", [(3, 100), (5, 20), (3, 7)])
def test_rounding_is_no_difference(value, shape):
    """The means of equal numbers differ in their last digits, whose degrees of freedom would be anything."""
    assert CrossedMean.from_values(np.full(shape, value), 300).freedom == shape[0] - 1


@pytest.mark.parametrize(
    ("num_seeds", "spread", "least", "most"),
    [
        (5, (1.0, 0.0, 0.0), 0.01, 0.04),
        (3, (1.0, 0.0, 0.0), 0.01, 0.04),
        (5, (0.0, 1.0, 1.0), 0.01, 0.04),
        (5, (0.05, 0.1, 1.0), 0.0, 0.03),  # nothing but the noise of single episodes: on the safe side
        (5, (0.2, 0.2, 0.2), 0.01, 0.055),
        (3, (0.2, 0.2, 0.2), 0.01, 0.055),
    ],
)
def test_a_margin_that_is_just_met_is_shown_as_rarely_as_said(num_seeds, spread, least, most):
    """1,500 experiments whose true mean is the margin: at 0.025 the share errs by 0.004, one standard deviation."""
    rng, shown = np.random.default_rng(0), 0
    for _ in range(1_500):
        parts = [rng.standard_normal(shape) for shape in ((num_seeds, 1), (1, 40), (num_seeds, 40))]
        values = sum(scale * part for scale, part in zip(spread, parts, strict=True))
        shown += CrossedMean.from_values(np.asarray(values), 10_000).p_below(0.0) <= LEVEL
    assert least <= shown / 1_500 <= most


def test_holms_textbook_case():
    """Holm's procedure on four p-values: times 4, 3, 2, 1 in order, and never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_values_keep_their_order_and_lie_between_once_and_m_times(p_values):
    p, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= p).all()
    assert adjusted.max() <= min(1, len(p) * p.max())
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_any_of_many_true_margins_is_shown_as_rarely_as_one():
    """20 means at their margins, 1,000 times: without Holm's factors two experiments in five would show one."""
    rng, wrong, alone = np.random.default_rng(0), 0, 0
    for _ in range(1_000):
        means = [CrossedMean(value, 1.0, 1e6, 100) for value in rng.standard_normal(20)]
        wrong += "shown" in outcomes(means, [0.0] * 20)
        alone += min(mean.p_below(0.0) for mean in means) <= LEVEL
    assert wrong / 1_000 <= 0.04 < 0.3 < alone / 1_000


def test_outcomes_are_of_both_directions():
    means = [CrossedMean(value, 0.01, 20.0, 100) for value in (0.1, -0.1, 0.001)]
    assert outcomes(means, [0.0, 0.0, 0.0]) == ["shown", "missed", "not shown"]
