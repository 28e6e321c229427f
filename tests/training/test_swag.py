"""Members drawn from the course of the weights: what is collected, what is drawn, and that they open as an ensemble."""

import copy
import dataclasses
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.utils import parameters_to_vector

from robolearn.data.windows import Windows
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.policies.score import ScoreConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit
from robolearn.training.run import Run
from robolearn.training.state import TrainState
from robolearn.training.swag import Moments, SwagConfig
from robolearn.trust.scores.registry import check_score_names
from tests.training.test_resume import assert_same_state, cut_at

CPU = torch.device("cpu")
STEPS = ["--steps", "12", "--checkpoint-every", "4", "--keep-every", "4"]
DRAWN = ["--num-members", "3", "--swag.share", "0.5", "--swag.rank", "3"]


def collected(snapshots, rank):
    moments = Moments(snapshots.shape[1], rank, CPU)
    for weights in snapshots:
        moments.collect(torch.from_numpy(weights))
    return moments


@pytest.mark.parametrize("count", [2, 3, 8])
def test_moments_are_those_of_numpy(count):
    """Also where the spread is a ten thousandth of the weights, which the mean of squares would not resolve."""
    snapshots = np.random.default_rng(0).normal(3, [1e-4, 1, 1e-4, 10, 1], (count, 5)).astype(np.float32)
    moments = collected(snapshots, 3)
    np.testing.assert_allclose(moments.mean, snapshots.mean(0, dtype=float), atol=1e-6)
    np.testing.assert_allclose(moments.squares / count, snapshots.var(0, dtype=float), rtol=2e-2)
    until = [snapshots[: i + 1].mean(0, dtype=float) for i in range(count)]
    expected = np.stack([snapshots[i] - until[i] for i in range(count)])[-3:]
    deviations = np.stack([moments.deviations[i % 3] for i in range(max(0, count - 3), count)])
    np.testing.assert_allclose(deviations, expected, atol=2e-6)


def test_draws_have_the_covariance_that_is_said():
    """Half of it from the variances, half from the deviations. By chance it would fail in one of 10,000 seeds.

    14 numbers, each within 4.5 of its standard errors: 14 * 7e-6.
    """
    course = np.random.default_rng(1).normal(0, 1, (9, 4)) @ np.array(
        [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 1, 0.1]]
    )
    moments, num = collected(course.astype(np.float32), 5), 20_000
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([moments.draw(generator) for _ in range(num)]).double().numpy()
    deviations = moments.deviations.double().numpy()
    expected = np.diag(course.var(0)) / 2 + deviations.T @ deviations / (2 * 4)
    deviation = np.sqrt(np.diag(expected))
    assert (abs(draws.mean(0) - course.mean(0)) < 4.5 * deviation / np.sqrt(num)).all()
    error = np.sqrt((np.outer(deviation**2, deviation**2) + expected**2) / num)
    assert (abs(np.cov(draws.T) - expected) < 4.5 * error).all()
    assert (abs(expected) > 9 * error).sum() > 6  # so that another covariance would be noticed


def test_weights_that_stand_still_are_drawn_as_they_are():
    moments = collected(np.full((4, 6), 0.3, np.float32), 2)
    torch.testing.assert_close(moments.draw(torch.Generator().manual_seed(0)), torch.full((6,), 0.3))


def fitted(make_policy, family, steps=8, share=0.5, **changes):
    """A state that was trained on random data."""
    generator = torch.Generator().manual_seed(0)
    obs, actions = {"state": torch.randn(40, 4, generator=generator)}, torch.rand(40, 2, generator=generator)
    windows = Windows(obs, actions, [20, 40], 2, 4)
    cfg = TrainConfig(steps=steps, batch_size=8, warmup_steps=1, amp="off", swag=SwagConfig(share, rank=2), **changes)
    state = TrainState(make_policy(family), cfg)
    assert fit(state, windows, None, Processes(CPU), Hooks())
    return state


def test_what_is_collected_are_the_weights_and_not_their_average(make_policy):
    state = fitted(make_policy, FlowConfig())
    assert state.swag is not None
    moments = state.swag.moments
    assert moments.count == 4
    last = moments.mean + moments.deviations[1]
    torch.testing.assert_close(last, parameters_to_vector(state.policy.parameters()).detach(), rtol=0, atol=1e-6)
    assert (last - parameters_to_vector(state.ema.module.parameters())).abs().max() > 1e-4


def test_what_no_longer_moves_is_alike_in_all_members(make_policy):
    cfg = TokensConfig(variant="residual-vq", quantiser_share=0.5, num_codes=4, num_levels=2)
    state = fitted(make_policy, cfg, share=0.25)
    assert state.swag is not None
    drawn, average = state.swag.draw(state.ema.module, 1).state_dict(), state.ema.module.state_dict()
    differ = {name for name in drawn if not torch.equal(drawn[name], average[name])}
    tokenizer = {name for name in drawn if name.startswith("family.tokenizer")}
    assert tokenizer
    assert not differ & tokenizer
    assert set(state.swag.names) - differ <= {"family.net.embed.weight"}  # of an input that is 0
    assert differ <= set(state.swag.names)


def test_what_was_found_in_the_data_is_kept(make_policy):
    """Buffers, and statistics of batches would be among them, are those of the averaged policy."""
    state = fitted(make_policy, ScoreConfig())
    assert state.swag is not None
    drawn = state.swag.draw(state.ema.module, 1)
    buffers = dict(drawn.named_buffers())
    assert buffers["family.sigma_data"] != 0.5
    for name, value in state.ema.module.named_buffers():
        assert torch.equal(buffers[name], value), name


def rates(state, player="policy"):
    learning_rates = []
    for step in range(state.cfg.steps):
        state.step = step
        learning_rates.append(state.learning_rate(player))
    return np.array(learning_rates)


def test_the_learning_rate_falls_to_one_that_stays(make_policy):
    cfg = TrainConfig(steps=100, warmup_steps=10, lr=1e-3, swag=SwagConfig(0.3, rate=0.2))
    learning_rates = rates(TrainState(make_policy(FlowConfig()), cfg))
    assert (learning_rates[70:] == 2e-4).all()
    assert learning_rates[9] == learning_rates.max() == 1e-3
    assert (np.diff(learning_rates[10:71]) < 0).all()
    assert learning_rates[40] == pytest.approx(6e-4)  # half way between 10 and 70
    plain = rates(TrainState(make_policy(FlowConfig()), dataclasses.replace(cfg, swag=SwagConfig())))
    assert plain[-1] < 1e-6


@pytest.mark.parametrize(
    ("steps", "share", "match"),
    [
        (100, 0.6, r"collects from step 40 on, and player 'quantiser', who moves from 0 to 50, .* a smaller share"),
        (100, 0.48, r"collects from step 52 on, and player 'policy', who moves from 50 to 100, is warm at 55"),
        (3, 0.25, "of 3 `steps` leaves fewer than 2"),
    ],
)
def test_shares_that_cannot_be(make_policy, steps, share, match):
    family = TokensConfig(variant="residual-vq", quantiser_share=0.5, num_codes=4, num_levels=2)
    with pytest.raises(ValueError, match=match):
        TrainState(make_policy(family), TrainConfig(steps=steps, warmup_steps=5, swag=SwagConfig(share)))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"share": 1.0}, r"`swag.share` 1.0 must be in \[0, 1\)"),
        ({"share": float("nan")}, "`swag.share` nan"),
        ({"rate": 0.0}, r"`swag.rate` 0.0 must be in \(0, 1\]"),
        ({"rank": 1}, r"`swag.rank` 1 must be in 2..100"),
    ],
)
def test_options_that_cannot_be(options, match):
    with pytest.raises(ValueError, match=match):
        SwagConfig(**options)


def test_a_longer_training_collects_anew(make_policy):
    state = fitted(make_policy, FlowConfig())
    longer = TrainState(copy.deepcopy(state.policy), dataclasses.replace(state.cfg, steps=16))
    longer.restore(state.tensors(), state.step)
    assert longer.swag is not None
    for step in range(9, 17):
        longer.swag.follow(longer.policy, step)
    assert longer.swag.moments.count == 8
    torch.testing.assert_close(
        longer.swag.moments.mean, parameters_to_vector(state.policy.parameters()).detach(), rtol=0, atol=1e-6
    )


@pytest.fixture
def whole(tmp_path, train_main, tiny_flags, demos):
    """A run with members that were drawn."""
    train_main([*tiny_flags, *STEPS, *DRAWN, "--dataset.path", str(demos), "--out", str(tmp_path / "whole")])
    return Run.open(tmp_path / "whole")


def weights(run, name="last"):
    return [load_file(path / "policy.safetensors") for path in run.members(name)]


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_members_open_as_an_ensemble_and_a_resumed_run_draws_the_same(whole, tmp_path, train_main):
    assert whole.is_complete()
    ensemble = Ensemble.load(whole.members())
    assert [len(ensemble), len(Ensemble.load(whole.members("best")))] == [3, 3]
    check_score_names(["disagreement"], ensemble, 2)
    noise = ensemble.noise(8, generator=torch.Generator().manual_seed(0))
    chunks = ensemble.act({"state": torch.zeros(8, 1, 4)}, noise)
    assert min((chunks[i] - chunks[j]).abs().max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-5

    half = cut_at(whole.directory, 8, tmp_path / "half")  # two of the six snapshots are there
    shutil.rmtree(half / "members")
    train_main(["--resume", str(half)])
    assert_same_state(whole.directory, half)
    assert all(map(same, weights(whole), weights(Run.open(half))))

    with pytest.raises(ValueError, match=r"`swag.rank` 4 cannot change when resuming, it was 3"):
        train_main(["--resume", str(half), "--swag.rank", "4"])
    train_main(["--resume", str(half), "--num-members", "4"])  # more of them, without any training
    assert all(map(same, weights(whole), weights(Run.open(half))))
    assert not any(same(weights(Run.open(half))[3], other) for other in weights(whole))
    with pytest.raises(ValueError, match=r"train\.safetensors"):
        train_main(["--resume", str(whole.member(1))])


def test_processes_that_train_together_may_draw_members(train_main, tiny_flags, demos, tmp_path, monkeypatch):
    """Only members that are trained start processes of their own."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("robolearn.training.train.open_demos", lambda cfg: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train_main([*tiny_flags, *STEPS, *DRAWN, "--dataset.path", str(demos), "--out", str(tmp_path / "run")])
