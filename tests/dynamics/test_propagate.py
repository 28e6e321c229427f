"""Against a linear system with Gaussian noise, whose moments are known in closed form and by brute force."""

import numpy as np
import pytest
import torch

from robolearn.dynamics.ensemble import split_variance
from robolearn.dynamics.propagate import Noise, draw, member_moments, propagate

HORIZON, REFERENCE, MEMBERS = 8, 100_000, 2
START = torch.tensor([1.0, -0.5])
PLANS = torch.tensor([[0.3] * HORIZON, [-0.2, 0.5] * (HORIZON // 2)])[..., None]
A = np.array([[[1.0, 0.1], [-0.2, 0.9]], [[0.9, 0.3], [0.1, 1.0]]])  # [k, s, s]
B = np.array([[0.0, 0.2], [0.1, -0.1]])  # [k, s]
VAR = np.array([[0.01, 0.002], [0.003, 0.02]])  # [k, s]


class Linear:
    """Member i predicts A_i s + B_i a with variance VAR_i."""

    num_members = MEMBERS

    def __call__(self, states, actions):
        a, b, var = (torch.from_numpy(x).float() for x in (A, B, VAR))
        return states @ a.transpose(1, 2) + actions * b[:, None], var[:, None].expand(states.shape)


def closed_form(kind, plan):
    """Mean and covariance [t, s], [t, s, s] of the mixture, by recursions of the first and second moment."""
    start = START.numpy().astype(float)
    # TS1 has one recursion, averaged over members at each step; TSinf one for each member, averaged at the end.
    groups = [range(MEMBERS)] if kind == "ts1" else [[i] for i in range(MEMBERS)]
    firsts, seconds = [], []
    for group in groups:
        m, S = start, np.outer(start, start)
        firsts.append([])
        seconds.append([])
        for action in plan[:, 0].tolist():
            shift = B * action
            S = np.mean(
                [
                    A[i] @ S @ A[i].T
                    + np.outer(A[i] @ m, shift[i])
                    + np.outer(shift[i], A[i] @ m)
                    + np.outer(shift[i], shift[i])
                    + np.diag(VAR[i])
                    for i in group
                ],
                axis=0,
            )
            m = np.mean([A[i] @ m + shift[i] for i in group], axis=0)
            firsts[-1].append(m)
            seconds[-1].append(S)
    first, second = np.mean(firsts, axis=0), np.mean(seconds, axis=0)
    return first, second - first[:, :, None] * first[:, None, :]


def brute_force(kind, plan, seed=0):
    """States [t, 100000, s] with members drawn independently, one particle by one: no dealing out."""
    rng = np.random.default_rng(seed)
    states, path = np.tile(START.numpy().astype(float), (REFERENCE, 1)), []
    members = rng.integers(MEMBERS, size=REFERENCE)
    for action in plan[:, 0].tolist():
        if kind == "ts1":
            members = rng.integers(MEMBERS, size=REFERENCE)
        mean = np.einsum("pij,pj->pi", A[members], states) + B[members] * action
        states = mean + np.sqrt(VAR[members]) * rng.standard_normal(states.shape)
        path.append(states)
    return np.stack(path)


def sampled(kind, num_particles=20_000, seed=0):
    """Path [t, n, p, s]."""
    generator = torch.Generator().manual_seed(seed)
    noise = draw(kind, num_particles, HORIZON, MEMBERS, 2, generator)
    return propagate(Linear(), START, PLANS, noise), noise


def deviations(path, mean, cov):
    """Largest deviation of the particles' [t, p, s] mean and variance, in standard errors of independent ones."""
    num, var = path.shape[1], np.diagonal(cov, axis1=1, axis2=2)
    fourth = ((path - path.mean(1, keepdims=True)) ** 4).mean(1)
    z_mean = np.abs(path.mean(1) - mean) / np.sqrt(var / num)
    z_var = np.abs(path.var(1) - var) / np.sqrt((fourth - path.var(1) ** 2) / num)
    return z_mean.max(), z_var.max()


@pytest.mark.parametrize("kind", ["ts1", "tsinf"])
@pytest.mark.parametrize("plan", [0, 1])
def test_moments_are_those_of_the_system(kind, plan):
    """4.5 standard errors: 64 comparisons, of which one at random is above 4 with probability 0.004."""
    path, _ = sampled(kind)
    mean, cov = closed_form(kind, PLANS[plan])
    assert max(deviations(path[:, plan].double().numpy(), mean, cov)) < 4.5
    other_mean, other_cov = closed_form({"ts1": "tsinf", "tsinf": "ts1"}[kind], PLANS[plan])
    assert max(deviations(path[:, plan].double().numpy(), other_mean, other_cov)) > 10  # the other kind is told apart


@pytest.mark.parametrize("kind", ["ts1", "tsinf"])
def test_moments_are_those_of_100000_independent_particles(kind):
    path, reference = sampled(kind)[0][:, 0].double().numpy(), brute_force(kind, PLANS[0])
    for x in (0, 1):
        ours, theirs = path[:, :, x], reference[:, :, x]
        error = np.sqrt(ours.var(1) / ours.shape[1] + theirs.var(1) / REFERENCE)
        assert (np.abs(ours.mean(1) - theirs.mean(1)) < 4.5 * error).all()
        spread = [np.square(p - p.mean(1, keepdims=True)) for p in (ours, theirs)]
        error = np.sqrt(sum(s.var(1) / s.shape[1] for s in spread))
        assert (np.abs(spread[0].mean(1) - spread[1].mean(1)) < 4.5 * error).all()


def test_doubt_and_noise_are_told_apart_under_tsinf():
    path, noise = sampled("tsinf", num_particles=REFERENCE)
    mean, var = member_moments(path, noise)
    epistemic, aleatoric = split_variance(mean, var)
    alone = []
    for i in range(MEMBERS):
        m, cov = START.numpy().astype(float), np.zeros((2, 2))
        for action in PLANS[0, :, 0].tolist():
            m, cov = A[i] @ m + B[i] * action, A[i] @ cov @ A[i].T + np.diag(VAR[i])
        alone.append((m, np.diag(cov)))
    np.testing.assert_allclose(epistemic[-1, 0], np.var([m for m, _ in alone], axis=0), rtol=0.04)
    np.testing.assert_allclose(aleatoric[-1, 0], np.mean([v for _, v in alone], axis=0), rtol=0.04)


def test_without_noise_all_spread_is_doubt():
    noise = Noise(torch.arange(4).remainder(2).expand(HORIZON, -1), torch.zeros(HORIZON, 4, 2))
    mean, var = member_moments(propagate(Linear(), START, PLANS, noise), noise)
    epistemic, aleatoric = split_variance(mean, var)
    assert epistemic[-1].min() > 1e-3
    assert aleatoric.max() < 1e-12


@pytest.mark.parametrize("kind", ["ts1", "tsinf"])
def test_each_particle_follows_its_member_and_its_noise(kind):
    noise = draw(kind, 6, HORIZON, MEMBERS, 2, torch.Generator().manual_seed(1))
    path = propagate(Linear(), START, PLANS, noise).numpy()
    for n in range(2):
        for p in range(6):
            state = START.numpy().astype(float)
            for t in range(HORIZON):
                i = int(noise.members[t, p])
                state = A[i] @ state + B[i] * float(PLANS[n, t, 0]) + np.sqrt(VAR[i]) * noise.steps[t, p].numpy()
                np.testing.assert_allclose(path[t, n, p], state, atol=1e-4)


def test_ts1_deals_members_out_anew_and_tsinf_keeps_them():
    generator = torch.Generator().manual_seed(0)
    ts1, tsinf = (draw(kind, 10, 200, 5, 1, generator).members for kind in ("ts1", "tsinf"))
    for members in (ts1, tsinf):
        assert all((members == i).sum(1).eq(2).all() for i in range(5))
    assert (tsinf == tsinf[0]).all()
    assert abs(float((ts1[1:] == ts1[:-1]).float().mean()) - 0.2) < 0.04


def test_wrong_particles_are_refused():
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="num_particles 7 must be a multiple of the 5 members"):
        draw("ts1", 7, 3, 5, 2, generator)
    path, noise = sampled("ts1", 4)
    with pytest.raises(ValueError, match="propagate with tsinf"):
        member_moments(path, noise)
    path, noise = sampled("tsinf", 2)
    with pytest.raises(ValueError, match="num_particles 2 must be at least 2 for each of the 2 members"):
        member_moments(path, noise)
