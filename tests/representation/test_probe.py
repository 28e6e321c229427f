import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from robolearn.representation.probe import linear_probe


def rows(count, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(3, [1, 5, 0.1], (count, 3))
    return x, np.stack([x @ [1, 2, 3] + rng.normal(0, 2, count), 1000 * rng.normal(0, 1, count)], 1)


def test_it_is_a_ridge_regression_of_standardized_columns():
    (x, y), (x_new, y_new) = rows(50, 0), rows(40, 1)
    standard = Ridge(alpha=0.2 * len(x)).fit((x - x.mean(0)) / x.std(0), y)
    wanted = r2_score(y_new, standard.predict((x_new - x.mean(0)) / x.std(0)), multioutput="raw_values")
    np.testing.assert_allclose(linear_probe((x, y), (x_new, y_new), ridge=0.2), wanted)


def test_what_is_told_is_near_one_and_what_is_not_near_zero():
    explained = linear_probe(rows(2000, 0), rows(2000, 1))
    assert explained[0] > 0.9
    assert abs(explained[1]) < 0.05


def test_a_feature_that_never_changes_does_no_harm():
    (x, y), (x_new, y_new) = rows(50, 0), rows(40, 1)
    wider, wider_new = (np.concatenate([one, np.full((len(one), 1), 7.0)], 1) for one in (x, x_new))
    np.testing.assert_allclose(linear_probe((wider, y), (wider_new, y_new)), linear_probe((x, y), (x_new, y_new)))


def test_a_feature_that_only_held_out_rows_have_does_no_harm():
    """The mean of 50 times 0.1 is another number: what is divided by their standard deviation is huge."""
    (x, y), (x_new, y_new) = rows(50, 0), rows(40, 1)
    wider, wider_new = np.c_[x, np.full(50, 0.1)], np.c_[x_new, np.linspace(0, 10, 40)]
    np.testing.assert_allclose(linear_probe((wider, y), (wider_new, y_new)), linear_probe((x, y), (x_new, y_new)))


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="rows do not fit together"):
        linear_probe(rows(5, 0), (rows(5, 1)[0][:, :2], rows(5, 1)[1]))
    x, y = rows(5, 1)
    for one, other in ((y[:, :1], y), (y, y[:, :1])):
        with pytest.raises(ValueError, match="rows do not fit together"):
            linear_probe((x, one), (x, other))
    with pytest.raises(ValueError, match="number 1 is the same in all held-out rows"):
        linear_probe(rows(5, 0), (x, y * [1, 0]))
