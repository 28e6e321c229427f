import numpy as np
import pytest

from robolearn.trust.conformal.bands import CONSTANT, FLOOR, Band, Form, first_alarm, fit_band, modulation
from robolearn.trust.conformal.thresholds import TooFewWarning

STEPS = 50


def walks(rng, n):
    """Autocorrelated scores whose mean and spread change along the episode."""
    noise, x = rng.standard_normal((n, STEPS)), np.zeros((n, STEPS))
    for t in range(1, STEPS):
        x[:, t] = 0.8 * x[:, t - 1] + noise[:, t]
    time = np.arange(STEPS) / STEPS
    return time + (0.2 + time) * x


def alarm_rate(fit, draws=300, n=40, new=50):
    rng = np.random.default_rng(0)
    return np.array([fit(walks(rng, n), walks(rng, n)).alarms(walks(rng, new)).any(1).mean() for _ in range(draws)])


@pytest.mark.parametrize("constant", [False, True])
def test_episodes_alarm_falsely_as_often_as_promised(constant):
    """40 + 40 episodes at alpha 0.1: 4 of 41 in the mean, standard error 0.003."""
    rates = alarm_rate(lambda a, b: fit_band(a, b, 0.1, constant=constant))
    assert rates.mean() == pytest.approx(4 / 41, abs=3 * rates.std() / np.sqrt(300))


def test_a_threshold_per_step_does_not_hold_for_the_episode():
    per_step = alarm_rate(lambda a, b: Band(np.quantile(np.concatenate([a, b]), 0.9, axis=0), np.ones(STEPS), 0.0))
    assert per_step.mean() > 0.5


def test_reusing_the_episodes_alarms_too_often():
    """The mutant that calibrates the height on the episodes that shaped the band; 12 of them."""
    honest = alarm_rate(lambda a, b: fit_band(a, b, 0.2), n=12)
    mutant = alarm_rate(lambda a, b: fit_band(a, a, 0.2), n=12)
    assert honest.mean() == pytest.approx(2 / 13, abs=3 * honest.std() / np.sqrt(300))
    assert mutant.mean() > 0.25


def test_heights_and_alarms_agree():
    rng = np.random.default_rng(1)
    band, new = fit_band(walks(rng, 30), walks(rng, 30), 0.1), walks(rng, 200)
    assert (band.alarms(new).any(1) == (band.heights(new) > band.height)).all()
    first = first_alarm(band.alarms(new))
    assert set(first[~band.alarms(new).any(1)]) == {STEPS}
    for e, t in enumerate(first):
        assert t == STEPS or (new[e, t] > band.limit[t] and not (new[e, :t] > band.limit[:t]).any())


def test_scores_that_tie_with_the_height_do_not_alarm():
    """Half of all scores are at their cap; the limit in units of the score is often rounded below it."""
    rng = np.random.default_rng(0)
    for cap in np.arange(1, 101) / 100:
        shape, height, new = (np.where(rng.random((n, 4)) < 0.5, cap, -cap * rng.random((n, 4))) for n in (30, 40, 40))
        assert not fit_band(shape, height, 0.1).alarms(new).any()


def test_the_worst_episodes_do_not_shape_the_band():
    scores = np.zeros((10, 3))
    scores[0] = [0, 0, 50]
    assert modulation(scores, 0.2)[2] == pytest.approx(5 + FLOOR)  # the nine others are 5 below the mean
    assert modulation(scores, 0.05)[2] == pytest.approx(45 + FLOOR)


def test_nan_alarms_and_too_few_never_do():
    with pytest.warns(TooFewWarning):
        band = fit_band(np.zeros((2, 3)), np.zeros((5, 3)), 0.1)
    assert band.alarms(np.array([[0.0, 1e9, np.nan]])).tolist() == [[False, False, True]]


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (np.zeros((0, 3)), np.zeros((9, 3)), "at least one episode"),
        (np.zeros((2, 0)), np.zeros((9, 0)), "at least one step"),
        (np.zeros((2, 3)), np.zeros((9, 4)), "4 steps, the band 3"),
        (np.full((2, 3), np.nan), np.zeros((9, 3)), "NaN"),
        (np.zeros((2, 3)), np.full((9, 3), np.nan), "NaN"),
    ],
)
def test_bad_scores_are_refused(a, b, text):
    with pytest.raises(ValueError, match=text):
        fit_band(a, b, 0.1)


def test_the_form_of_equal_lengths_is_that_of_a_band():
    scores = walks(np.random.default_rng(0), 30)
    form, band = Form.fit(scores.tolist(), 0.1), fit_band(scores, scores, 0.1)
    np.testing.assert_allclose(form.center, band.center, rtol=0, atol=1e-14)
    np.testing.assert_allclose(form.scale, band.scale, rtol=0, atol=1e-14)
    np.testing.assert_allclose(form.limits(band.height), band.limit)


def test_a_form_goes_as_far_as_half_of_the_episodes():
    """Three of four reach the third step, one the fourth; those that ended count for nothing there."""
    form = Form.fit([[0.0, 0.0, 4.0, 9.0], [0.0, 2.0, 6.0], [0.0, 4.0, 8.0], [4.0]], 0.4)
    assert form.center == (1.0, 2.0, 6.0)
    assert form.scale == (1.0 + FLOOR, 2.0 + FLOOR, 2.0 + FLOOR)  # the last episode is the one that deviates most
    assert form.heights(np.array([1.0, 6.0, 8.0]), np.array([0, 2, 9])).tolist() == pytest.approx([0, 0, 1])
    assert CONSTANT.heights(np.array([0.3, np.nan, np.inf]), np.arange(3)).tolist()[::2] == [0.3, np.inf]


@pytest.mark.parametrize("episodes", [[], [[0.0], []], [[0.0, np.nan]], [[np.inf]]])
def test_no_form_of_what_is_not_there_or_not_finite(episodes):
    with pytest.raises(ValueError, match="finite scores"):
        Form.fit(episodes, 0.1)
