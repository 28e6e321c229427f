import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import linear, silu

from robolearn.dynamics.ensemble import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    DynamicsConfig,
    DynamicsEnsemble,
    features,
    split_variance,
)
from robolearn.dynamics.fit import Transitions, bootstrap_members, fit_dynamics, prediction_error
from robolearn.nets.descent import FitConfig

CONFIG = DynamicsConfig(state_dim=3, action_dim=1, angles=(1,), num_members=4, hidden=32, depth=2)
NOISE = 0.05


def pendulum(num, seed=0, speed=1.0):
    """A position that follows a noisy speed, an angle that falls, and a slow number."""
    rng = np.random.default_rng(seed)
    states = rng.uniform([-1, -3, -speed], [1, 3, speed], (num, 3))
    actions = rng.uniform(-1, 1, (num, 1))
    change = np.stack([0.1 * states[:, 2], 0.2 * np.sin(states[:, 1]), 0.1 * actions[:, 0]], axis=1)
    change[:, 0] += NOISE * rng.standard_normal(num)
    return Transitions(states, actions, states + change)


@pytest.fixture(scope="module")
def fitted():
    return fit_dynamics(CONFIG, pendulum(500), FitConfig(steps=400), seed=3)


def rows(data, num_members=4):
    """What every member is asked, alike."""
    return [torch.from_numpy(x).float().expand(num_members, -1, -1) for x in (data.states, data.actions)]


def one_member(ensemble, i, states, actions):
    """The i-th network by itself, with the library's linear layers and the paper's bounds written out."""
    x = torch.cat(
        [
            ensemble.normalizer.normalize("feature", features(ensemble.cfg, states)),
            ensemble.normalizer.normalize("action", actions),
        ],
        dim=-1,
    )
    for n, layer in enumerate(ensemble.layers):
        x = linear(x if n == 0 else silu(x), layer.weight[i].T, layer.bias[i, 0])
    mean, free = x[:, :3], x[:, 3:]
    upper = ensemble.max_log_var - torch.log(1 + torch.exp(ensemble.max_log_var - free))
    log_var = ensemble.min_log_var + torch.log(1 + torch.exp(upper - ensemble.min_log_var))
    scale = ensemble.normalizer.delta_scale
    return states + ensemble.normalizer.delta_centre + scale * mean, scale**2 * log_var.exp()


def test_stacked_members_equal_a_loop(fitted):
    torch.manual_seed(0)
    states, actions = torch.randn(4, 50, 3), torch.randn(4, 50, 1)
    mean, var = fitted(states, actions)
    loop = [one_member(fitted, i, states[i], actions[i]) for i in range(4)]
    torch.testing.assert_close(mean, torch.stack([m for m, _ in loop]), rtol=0, atol=1e-5)
    torch.testing.assert_close(var, torch.stack([v for _, v in loop]), rtol=1e-4, atol=1e-5)
    # Members asked in another order are told apart.
    others = torch.stack([one_member(fitted, i, states[j], actions[j])[0] for j, i in enumerate((1, 0, 3, 2))])
    assert (mean - others).abs().amax() > 1e-2


def test_gradients_of_members_do_not_mix(fitted):
    states, actions = rows(pendulum(20))
    mean, var = fitted(states, actions)
    fitted.zero_grad()
    (mean[2].sum() + var[2].sum()).backward()
    norms = fitted.layers[0].weight.grad.flatten(1).norm(dim=1)
    assert norms[2] > 0
    assert norms[[0, 1, 3]].max() == 0


def test_the_loss_is_the_papers(fitted):
    data = pendulum(30, seed=1)
    states, actions = rows(data)
    deltas = torch.from_numpy(data.next_states - data.states).float().expand(4, -1, -1)
    mean, var = fitted(states, actions)
    scale = fitted.normalizer.delta_scale
    law = torch.distributions.Normal(mean, var.sqrt())
    # -2 log density of a physical change is the loss, but for log 2 pi and the units.
    expected = (-2 * law.log_prob(states + deltas) - math.log(2 * math.pi) - 2 * scale.log()).sum(-1).mean(1).sum()
    penalty = 0.01 * (fitted.max_log_var - fitted.min_log_var).sum()
    assert fitted.loss(states, actions, deltas).item() == pytest.approx((expected + penalty).item(), rel=1e-3)


def test_variance_stays_within_its_bounds_however_wild_the_question(fitted):
    _, log_var, _ = fitted.change(torch.full((4, 5, 3), 1e4), torch.full((4, 5, 1), -1e4))
    assert (log_var >= fitted.min_log_var - 1e-4).all()
    # The lower bound's softplus is added to the upper one.
    assert (log_var <= fitted.max_log_var + torch.exp(fitted.min_log_var - fitted.max_log_var) + 1e-4).all()


def test_mean_and_noise_are_learned(fitted):
    data = pendulum(500, seed=2)
    mean, var = (x.detach().numpy() for x in fitted(*rows(data)))
    error = np.sqrt(np.square(mean.mean(0) - data.next_states).mean(0))
    assert error[0] < 1.15 * NOISE
    assert (error[1:] < 0.02).all()
    std = np.sqrt(var.mean((0, 1)))
    assert 0.8 * NOISE < std[0] < 1.2 * NOISE  # the noise that there is
    assert (std[1:] < 0.02).all()  # and none where there is none


def test_doubt_grows_outside_the_data_and_noise_does_not_stand_for_it(fitted):
    inside, outside = pendulum(300, seed=4), pendulum(300, seed=4, speed=6.0)
    far = np.abs(outside.states[:, 2]) > 3
    (doubt_in, _), (doubt_out, _) = (split_variance(*fitted(*rows(data))) for data in (inside, outside))
    assert doubt_out[torch.from_numpy(far)].sum(-1).median() > 10 * doubt_in.sum(-1).median()


def test_variances_add_up_to_that_of_the_mixture():
    torch.manual_seed(0)
    mean, var = torch.randn(5, 7, dtype=torch.float64), torch.rand(5, 7, dtype=torch.float64)
    epistemic, aleatoric = split_variance(mean, var)
    second_moment = (var + mean**2).mean(0)
    torch.testing.assert_close(epistemic + aleatoric, second_moment - mean.mean(0) ** 2)
    same = mean[:1].expand(5, -1)
    assert split_variance(same, var)[0].max() < 1e-20


def test_angles_a_turn_apart_are_the_same(fitted):
    states, actions = rows(pendulum(20))
    turned = states + torch.tensor([0.0, 2 * math.pi, 0.0])
    (mean, var), (mean_turned, var_turned) = fitted(states, actions), fitted(turned, actions)
    torch.testing.assert_close(mean_turned - turned, mean - states, rtol=0, atol=1e-4)
    torch.testing.assert_close(var_turned, var, rtol=1e-3, atol=1e-6)


def test_networks_that_tell_a_mean_alone_have_no_variance():
    cfg = DynamicsConfig(3, 1, angles=(1,), num_members=1, hidden=32, probabilistic=False)
    ensemble = fit_dynamics(cfg, pendulum(500), FitConfig(steps=400), seed=0)
    data = pendulum(300, seed=5)
    mean, var = ensemble(*rows(data, num_members=1))
    assert var.max() == 0
    error = (mean[0].detach().numpy() - data.next_states)[:, 1:]
    assert np.sqrt(np.square(error).mean()) < 0.02


def test_a_bootstrap_leaves_out_a_third_and_another_for_each_member():
    drawn = bootstrap_members(2000, 3, torch.Generator().manual_seed(0))
    shares = [len(row.unique()) / 2000 for row in drawn]
    assert all(abs(share - (1 - math.exp(-1))) < 0.03 for share in shares)
    assert len({tuple(row[:5].tolist()) for row in drawn}) == 3


def test_a_member_never_sees_what_its_bootstrap_left_out(monkeypatch):
    """Members are shown constants of their own and repeat them."""
    monkeypatch.setattr(
        "robolearn.dynamics.fit.bootstrap_members",
        lambda n, k, generator: torch.arange(k)[:, None].expand(k, n).clone(),
    )
    states, actions = np.zeros((4, 3)), np.zeros((4, 1))
    data = Transitions(states, actions, np.arange(4.0)[:, None] + np.zeros((4, 3)))
    ensemble = fit_dynamics(CONFIG, data, FitConfig(steps=200), seed=0)
    mean, _ = ensemble(torch.zeros(4, 1, 3), torch.zeros(4, 1, 1))
    np.testing.assert_allclose(mean[:, 0, 0].detach(), np.arange(4.0), atol=0.2)


def test_the_seed_fixes_the_ensemble_and_leaves_the_global_stream_alone():
    def fit(seed):
        return fit_dynamics(CONFIG, pendulum(20), FitConfig(steps=3), seed=seed)

    before = torch.random.get_rng_state()
    one, again, other = fit(1), fit(1), fit(2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.equal(one.layers[0].weight, other.layers[0].weight)


def test_a_saved_ensemble_predicts_the_same(fitted, tmp_path):
    fitted.save(tmp_path)
    loaded = DynamicsEnsemble.load(tmp_path)
    assert loaded.cfg == CONFIG
    assert not loaded.training
    for a, b in zip(loaded(*rows(pendulum(5))), fitted(*rows(pendulum(5))), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_damaged_files_are_one_line(fitted, tmp_path, damage):
    fitted.save(tmp_path)
    weights = tmp_path / WEIGHTS_FILE
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        text = (tmp_path / CONFIG_FILE).read_text()
        (tmp_path / CONFIG_FILE).write_text(text.replace('"num_members": 4', '"num_members": 2'))
    with pytest.raises(ValueError, match=r"dynamics.safetensors: (no such file|damaged or of another)") as error:
        DynamicsEnsemble.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_members": 0}, "num_members 0 must be at least 1"),
        ({"hidden": 0}, "hidden 0 must be at least 1"),
        ({"angles": (3,)}, r"angle 3 is no number of a state; choose from 0\.\.2"),
        ({"angles": (1, 0, 1)}, "angle 1 is given twice"),
    ],
)
def test_a_wrong_configuration_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        DynamicsConfig(**{"state_dim": 3, "action_dim": 1, **change})


def test_wrong_training_is_refused():
    with pytest.raises(ValueError, match=r"steps 0, batch_size 32 and lr 0\.003 must be positive"):
        FitConfig(steps=0)
    data = pendulum(5)
    with pytest.raises(ValueError, match=r"states \(5, 3\), actions \(5, 1\) .* do not fit .* state_dim 2"):
        fit_dynamics(DynamicsConfig(2, 1), data, FitConfig(steps=1000), seed=0)
    s, a, after = data.states, data.actions, data.next_states
    for rows in ((s, a[:4], after), (s, a, after[:1]), (s, a, after[:, :1]), (s, a, after[:, :2])):
        with pytest.raises(ValueError, match="do not fit together"):
            fit_dynamics(CONFIG, Transitions(*rows), FitConfig(steps=1), seed=0)
    data.next_states[2, 1] = np.nan
    with pytest.raises(ValueError, match="'delta': the rows hold NaN"):
        fit_dynamics(CONFIG, data, FitConfig(steps=1000), seed=0)


def test_events_that_are_no_numbers_are_refused():
    data = pendulum(5)
    data.next_states[2, 2] = np.nan
    cfg = DynamicsConfig(state_dim=3, action_dim=1, outcomes=1, events=1)
    with pytest.raises(ValueError, match="events among the next states hold NaN"):
        fit_dynamics(cfg, data, FitConfig(steps=1), seed=0)


def test_transitions_may_lie_backwards_in_memory():
    data, fit = pendulum(5), FitConfig(steps=1)
    behind = Transitions(*(rows[::-1].copy()[::-1] for rows in vars(data).values()))
    one, other = (fit_dynamics(CONFIG, rows, fit, seed=0).state_dict() for rows in (data, behind))
    assert all(torch.equal(one[name], other[name]) for name in one)


def with_rewards(num, seed=0):
    """The same, and a reward of where it is and what is done; what stood there before means nothing."""
    data = pendulum(num, seed)
    reward = np.cos(data.states[:, 1:2]) - data.actions**2
    before = np.random.default_rng(seed).normal(0, 100, (num, 1))
    states, after = (np.concatenate(pair, axis=1) for pair in ((data.states, before), (data.next_states, reward)))
    return Transitions(states, data.actions, after)


def test_an_outcome_is_predicted_as_it_is_and_seen_by_no_network():
    cfg = DynamicsConfig(state_dim=4, action_dim=1, angles=(1,), num_members=3, hidden=32, outcomes=1)
    ensemble = fit_dynamics(cfg, with_rewards(500), FitConfig(steps=600), seed=0)
    data = with_rewards(300, seed=6)
    states, actions = rows(data, num_members=3)
    mean, var = (x.detach() for x in ensemble(states, actions))
    error = np.sqrt(np.square(mean.mean(0).numpy() - data.next_states).mean(0))
    assert error[3] < 0.1
    assert error[0] < 1.2 * NOISE
    other = torch.cat([states[..., :3], torch.zeros_like(states[..., 3:])], dim=-1)
    for moment, again in zip(ensemble(other, actions), (mean, var), strict=True):
        assert torch.equal(moment, again)


def test_outcomes_change_nothing_of_states_and_are_kept_in_files(tmp_path):
    cfg = DynamicsConfig(4, 1, angles=(1,), num_members=2, hidden=8, outcomes=1)
    ensemble = fit_dynamics(cfg, with_rewards(50), FitConfig(steps=3), seed=0)
    assert len(ensemble.normalizer.get_buffer("delta_scale")) == 4
    assert len(ensemble.normalizer.get_buffer("feature_scale")) == 4  # two numbers, a sine and a cosine
    ensemble.save(tmp_path)
    data = rows(with_rewards(5), num_members=2)
    for a, b in zip(DynamicsEnsemble.load(tmp_path)(*data), ensemble(*data), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="outcomes 3 must be at least 0 and below state_dim 3"):
        DynamicsConfig(3, 1, outcomes=3)
    with pytest.raises(ValueError, match=r"angle 2 is no number of a state; choose from 0\.\.1"):
        DynamicsConfig(3, 1, outcomes=1, angles=(2,))


def chance(states):
    """How probable an event is."""
    return 1 / (1 + np.exp(-4 * np.cos(states[:, 1:2])))


def with_events(num, seed=0):
    """The same with rewards, and events that are drawn."""
    data = with_rewards(num, seed)
    happened = np.random.default_rng(seed + 100).random((num, 1)) < chance(data.states)
    return Transitions(
        np.concatenate([data.states, np.zeros((num, 1))], axis=1),
        data.actions,
        np.concatenate([data.next_states, happened], axis=1),
    )


WITH_EVENTS = DynamicsConfig(5, 1, angles=(1,), num_members=3, hidden=32, outcomes=2, events=1)


@pytest.mark.parametrize("probabilistic", [True, False])
def test_of_an_event_the_probability_is_told(probabilistic):
    cfg = dataclasses.replace(WITH_EVENTS, probabilistic=probabilistic)
    ensemble = fit_dynamics(cfg, with_events(1000), FitConfig(steps=600), seed=0)
    data = with_events(300, seed=6)
    mean, var = (x.detach().numpy() for x in ensemble(*rows(data, num_members=3)))
    told = mean[..., -1].mean(0)
    assert np.abs(told - chance(data.states)[:, 0]).mean() < 0.08
    assert told.min() < 0.2
    assert told.max() > 0.8
    np.testing.assert_allclose(var[..., -1], mean[..., -1] * (1 - mean[..., -1]) if probabilistic else 0, atol=1e-6)
    error = prediction_error(ensemble, data)
    assert error[3] < 0.2
    np.testing.assert_allclose(error[4], np.sqrt(np.square(told - data.next_states[:, 4]).mean()), rtol=1e-5)


def test_particles_meet_an_event_about_as_often_as_it_is_probable():
    """A particle draws it as mean and variance say and takes more than a half for a yes; by at most 0.05 off."""
    p = torch.linspace(0.02, 0.98, 25)
    drawn = p + (p * (1 - p)).sqrt() * torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0))
    assert ((drawn > 0.5).float().mean(0) - p).abs().max() < 0.05


def test_events_are_kept_in_files_and_are_outcomes(tmp_path):
    ensemble = fit_dynamics(WITH_EVENTS, with_events(50), FitConfig(steps=3), seed=0)
    ensemble.save(tmp_path)
    data = rows(with_events(5), num_members=3)
    for a, b in zip(DynamicsEnsemble.load(tmp_path)(*data), ensemble(*data), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match=r"events 2 must be in 0\.\.1, the outcomes"):
        DynamicsConfig(3, 1, outcomes=1, events=2)


def test_the_error_of_a_prediction_is_in_units_of_the_changes():
    """1 for an ensemble that predicts the mean change, whatever the units; noise alone for one that knows the rest."""
    data = pendulum(400)
    ensemble = fit_dynamics(CONFIG, data, FitConfig(steps=400), seed=0)
    change = data.next_states - data.states
    expected = [NOISE / change[:, 0].std(), 0.1, 0.1]
    error = prediction_error(ensemble, pendulum(400, seed=9))
    assert error[0] == pytest.approx(expected[0], rel=0.15)
    assert (error[1:] < 0.15).all()
    with torch.no_grad():  # the last layer says nothing: the mean change it is
        for parameter in ensemble.layers[-1].parameters():
            parameter.zero_()
    np.testing.assert_allclose(prediction_error(ensemble, data), 1.0, rtol=1e-3)
    backwards = Transitions(*(rows[::-1] for rows in vars(data).values()))  # the same ones, in another order
    np.testing.assert_allclose(prediction_error(ensemble, backwards), prediction_error(ensemble, data), rtol=1e-6)
