"""A sparse Gaussian process whose features are known, beside the exact one in closed form."""

import dataclasses
import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from robolearn.data.windows import Windows
from robolearn.policies import gp
from robolearn.policies.family import Chunks, Examples
from robolearn.policies.gp import GP, GPConfig
from robolearn.training.examples import examples

HORIZON, DIM, WIDTH, WINDOWS = 2, 2, 2, 12


def make(nets_giving, num_inducing=WINDOWS, dtype=torch.float64, **choices):
    """Its features are the observations."""

    def net(x, cond):
        return cond[:, :1].expand(-1, HORIZON, -1)

    torch.manual_seed(0)
    family = GP(GPConfig(num_inducing, WIDTH, **choices), nets_giving(net), HORIZON, DIM).to(dtype)
    with torch.no_grad():
        family.log_scale.fill_(0.3)
    return family


def windows(count=WINDOWS, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    x = 2 * torch.randn(count, 1, WIDTH, generator=generator, dtype=dtype)
    actions = torch.sin(x.sum(2, keepdim=True) + torch.arange(4).view(1, HORIZON, DIM)).to(dtype)
    return Chunks(actions, x, torch.ones(count, HORIZON, dtype=torch.bool))


def at_the_data(nets_giving, data, **choices):
    """Inducing points at all windows, and the best q."""
    family = make(nets_giving, len(data), **choices)
    family.num_windows.fill_(len(data))
    family.inducing.data.copy_(data.cond[:, 0])
    family.condition(data.cond[:, 0], data.actions)
    return family


def kernel(x, y):
    """Of the exact process: s^2 exp(-d^2 / 2 l^2), with l^2 = 2."""
    return math.exp(0.6) * torch.exp(-torch.cdist(x, y).square() / 4)


def exact_evidence(data, noise):
    """Logarithm of the marginal likelihood of all numbers of all chunks."""
    x, y = data.cond[:, 0], data.actions.flatten(1)
    covariance = kernel(x, x) + noise**2 * torch.eye(len(x), dtype=x.dtype)
    return MultivariateNormal(torch.zeros_like(y.T), covariance).log_prob(y.T).sum()


def bound(family, data):
    return -family.loss(data, {})[0] * data.actions.numel()


def test_with_all_data_as_points_the_best_bound_is_the_marginal_likelihood(nets_giving):
    data = windows()
    family = at_the_data(nets_giving, data)
    noise = family.noise_std()[0, 0].item()
    torch.testing.assert_close(bound(family, data), exact_evidence(data, noise), rtol=1e-4, atol=0)
    for parameter in (family.mean, family.root):  # and any other q is worse
        parameter.data += 0.05
        assert bound(family, data) < exact_evidence(data, noise) - 0.01


def test_its_prediction_is_that_of_the_exact_process(nets_giving):
    data, new = windows(), torch.tensor([[0.1, -0.3], [1.0, 2.0], [-4.0, 0.5]], dtype=torch.float64)
    family = at_the_data(nets_giving, data)
    noise = family.noise_std()[0, 0].item()
    x, cross = data.cond[:, 0], kernel(data.cond[:, 0], new)
    solved = torch.linalg.solve(kernel(x, x) + noise**2 * torch.eye(WINDOWS, dtype=x.dtype), cross)
    variance = math.exp(0.6) - (cross * solved).sum(0)
    mean, std = family.predict(new[:, None])
    torch.testing.assert_close(mean.flatten(1), solved.T @ data.actions.flatten(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(std, (variance + noise**2).sqrt()[:, None, None].expand_as(std), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(family.doubt(new[:, None]), variance.sqrt(), rtol=1e-4, atol=1e-5)


def test_far_from_the_data_there_is_the_prior_alone(nets_giving):
    data = windows()
    family = at_the_data(nets_giving, data)
    away = torch.tensor([[[0.0, 0.0]], [[3.0, 3.0]], [[8.0, 8.0]], [[40.0, 40.0]]], dtype=torch.float64)
    assert (family.doubt(data.cond) < 0.35).all()  # a window tells no more than its noise lets it
    assert family.doubt(away).diff().min() > 0
    assert family.doubt(away)[-1].item() == pytest.approx(math.exp(0.3))
    assert family.predict(away)[0][-1].abs().max() < 1e-9


def test_gradients_raise_the_bound_up_to_the_marginal_likelihood(nets_giving):
    data = windows()
    family = make(nets_giving)
    family.num_windows.fill_(WINDOWS)
    family.inducing.data.copy_(data.cond[:, 0])
    evidence = exact_evidence(data, family.noise_std()[0, 0].item())
    optimizer, bounds = torch.optim.Adam([family.mean, family.root], lr=0.1), []
    for _ in range(200):
        optimizer.zero_grad()
        loss = family.loss(data, {})[0]
        loss.backward()
        optimizer.step()
        bounds.append(-loss.item() * data.actions.numel())
    assert bounds[0] < evidence - 50
    assert bounds[-1] == pytest.approx(evidence.item(), abs=1)
    assert max(bounds) < evidence


def test_the_divergence_is_that_of_the_whitened_prior(nets_giving):
    family = make(nets_giving, 5)
    family.root.data.normal_(generator=torch.Generator().manual_seed(2))  # what is above the diagonal is no part of it
    root = family.root.tril(-1) + family.root.diagonal().exp().diag()
    q = MultivariateNormal(family.mean.T, scale_tril=root)
    p = MultivariateNormal(torch.zeros_like(family.mean.T), torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(family.divergence(), kl_divergence(q, p).sum())


def test_the_divergence_counts_once_in_all_windows(nets_giving):
    """N is the number of windows that there are, not of those that were looked at."""
    data, family = windows(), make(nets_giving)
    family.begin("policy", Examples(lambda n: data[:n], 700), generator=torch.Generator().manual_seed(0))
    loss = family.loss(data, {})[0]
    family.num_windows.fill_(math.inf)
    share = family.divergence() / 700 / (HORIZON * DIM)
    torch.testing.assert_close(loss - family.loss(data, {})[0], share)
    assert share > 0.001


def test_a_training_says_how_many_windows_it_has(make_policy):
    generator = torch.Generator().manual_seed(0)
    data = Windows({"state": torch.rand(40, 4)}, torch.rand(40, 2), [15, 40], 2, 4)
    training_windows = examples(make_policy(GPConfig(6, 3)), data, generator)
    assert training_windows.total == 40
    assert (len(training_windows(7)), len(training_windows(100))) == (7, 40)


def test_a_resumed_run_keeps_what_it_has(nets_giving):
    data, family = windows(), make(nets_giving)
    for total in (700, 800):
        family.begin("policy", Examples(lambda n: data[:n], total), generator=torch.Generator().manual_seed(total))
        if total == 700:
            family.mean.data += 1
            before = {name: value.clone() for name, value in family.state_dict().items()}
    assert all(torch.equal(value, before[name]) for name, value in family.state_dict().items())


def test_it_begins_with_what_the_data_say(nets_giving):
    """Half as many points as windows suffice for chunks as smooth as these."""
    family, data = make(nets_giving, 30), windows(60)
    data = dataclasses.replace(data, actions=0.2 * data.cond.sum(2, keepdim=True).expand(-1, HORIZON, DIM))
    family.begin("policy", Examples(lambda n: data[:n], 60), generator=torch.Generator().manual_seed(0))
    error = (family.predict(data.cond)[0] - data.actions).square().mean()
    assert error < 0.05 * data.actions.square().mean()


def test_fewer_windows_than_points_suffice(nets_giving):
    data, family = windows(3, torch.float32), make(nets_giving, 20, torch.float32)
    family.begin("policy", Examples(lambda n: data[:n], 3), generator=torch.Generator().manual_seed(0))
    loss = family.loss(data, {})[0]
    loss.backward()
    assert loss.isfinite()
    assert family.inducing.grad.isfinite().all()


def test_padded_steps_are_no_part_of_the_likelihood(nets_giving):
    data = windows()
    family = at_the_data(nets_giving, data)
    mask = torch.tensor([True, False]).expand(WINDOWS, HORIZON)
    nonsense = data.actions.masked_fill(~mask[:, :, None], 9.0)
    few, same = (family.loss(Chunks(actions, data.cond, mask), {})[0] for actions in (data.actions, nonsense))
    assert few == same
    assert family.loss(Chunks(nonsense, data.cond, data.mask), {})[0] > few + 1


def test_autocast_is_for_the_backbone_alone(nets_giving):
    data, family = windows(dtype=torch.float32), make(nets_giving, dtype=torch.float32)
    family.begin("policy", Examples(lambda n: data[:n], WINDOWS), generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        loss = family.loss(data, {})[0]
    assert torch.equal(loss, family.loss(data, {})[0])


def test_a_kernel_that_cannot_be_factored_gives_no_number(nets_giving, monkeypatch):
    data = windows()
    family = at_the_data(nets_giving, data)
    monkeypatch.setattr(gp, "JITTER", -2.0)
    assert family.loss(data, {})[0].isnan()


@pytest.mark.parametrize("std_scale", [0.0, 0.5])
def test_samples_carry_a_share_of_the_standard_deviation(nets_giving, std_scale):
    data = windows()
    family = at_the_data(nets_giving, data, std_scale=std_scale)
    noise = family.noise(WINDOWS, generator=torch.Generator().manual_seed(0)).double()
    mean, std = family.predict(data.cond)
    assert noise[0].numel() == (HORIZON * DIM if std_scale else 0)
    expected = mean + std_scale * std * noise if std_scale else mean
    torch.testing.assert_close(family.sample(data.cond, noise), expected)


def test_impossible_configurations():
    with pytest.raises(ValueError, match="num_inducing 0 must be at least 1"):
        GPConfig(num_inducing=0)
    with pytest.raises(ValueError, match=r"gp: min_std 0\.0 must be above 0"):
        GPConfig(min_std=0.0)
