"""Where MAPIE and crepes do the same as we do, the numbers are the same."""

import warnings

import numpy as np
import pytest
from crepes import ConformalRegressor
from mapie.regression import SplitConformalRegressor
from sklearn.dummy import DummyRegressor

from robolearn.trust.conformal.thresholds import TooFewWarning, group_thresholds, smallest_number, threshold

CASES = [(10, 0.1), (20, 0.05), (57, 0.2), (100, 0.1), (100, 0.05), (333, 0.37)]


def residuals(n, seed=0):
    return np.abs(np.random.default_rng(seed).standard_normal(n))


def mapie_width(scores, alpha):
    """Half the interval of a prediction of 0 with these absolute residuals."""
    zero = DummyRegressor(strategy="constant", constant=0.0).fit(np.zeros((1, 1)), np.zeros(1))
    regressor = SplitConformalRegressor(zero, confidence_level=1 - alpha)
    regressor.conformalize(np.zeros((len(scores), 1)), scores)
    return regressor.predict_interval(np.zeros((1, 1)))[1][0, 1, 0]


def crepes_width(scores, alpha):
    return ConformalRegressor().fit(scores).predict_int(np.zeros(1), confidence=1 - alpha)[0, 1]


@pytest.mark.parametrize(("n", "alpha"), CASES)
@pytest.mark.parametrize("width", [mapie_width, crepes_width])
def test_split_thresholds(width, n, alpha):
    scores = residuals(n)
    assert threshold(scores, alpha) == pytest.approx(width(scores, alpha), rel=1e-12)


def test_the_interpolated_quantile_agrees_with_neither():
    scores = residuals(57)
    other = np.quantile(scores, 0.8)
    assert abs(other - mapie_width(scores, 0.2)) > 1e-6
    assert abs(other - crepes_width(scores, 0.2)) > 1e-6


def test_groups_have_crepes_mondrian_thresholds():
    scores, groups = residuals(150) * np.repeat([1.0, 5.0, 0.2], 50), np.repeat([0, 1, 2], 50)
    regressor = ConformalRegressor().fit(scores, bins=groups)
    widths = regressor.predict_int(np.zeros(3), bins=np.arange(3), confidence=0.9)[:, 1]
    thresholds = group_thresholds(scores, groups.tolist(), 0.1)
    np.testing.assert_allclose([thresholds[g] for g in range(3)], widths, rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 0.05])
def test_too_few_scores_are_infinite_in_crepes_and_refused_by_mapie(alpha):
    scores = residuals(smallest_number(alpha) - 1)
    with pytest.warns(TooFewWarning):
        assert threshold(scores, alpha) == np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert crepes_width(scores, alpha) == np.inf
    with pytest.raises(ValueError, match="samples of the score is too low"):
        mapie_width(scores, alpha)
