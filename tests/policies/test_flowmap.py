"""The average velocity of straight paths to a point is known; its identities must leave it where it is."""

import pytest
import torch

from robolearn.policies.flowmap import TIME_SCALE, FlowMap, FlowMapConfig

POINT = 0.4
N = 4_000


@pytest.fixture
def exact(nets_giving):
    """Data N(0, s^2) with s = 0.5: the velocity field and its flow are linear in x."""

    def make(target, factor=1.0, steps=1):
        s = 0.5

        def scale(t):
            return ((1 - t) ** 2 + t**2 * s**2).sqrt()

        def net(x, cond, time):
            t, d = (time / TIME_SCALE)[:, :, None].unbind(1)
            t, d = t[..., None], d[..., None]
            velocity = (t * s**2 - (1 - t)) / scale(t) ** 2
            moved = (scale(t + d) / scale(t) - 1) / torch.where(d == 0, torch.ones_like(d), d)
            return factor * x * torch.where(d == 0, velocity, moved)

        return FlowMap(FlowMapConfig(target, steps=steps), nets_giving(net), 1, 1)

    return make


@pytest.mark.parametrize("target", ["meanflow", "shortcut"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_exact_map_carries_noise_to_data(exact, target, steps):
    family = exact(target, steps=steps)
    noise = family.noise(N, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(family.sample(torch.zeros(N, 1, 1), noise), 0.5 * noise)


@pytest.mark.parametrize("target", ["meanflow", "shortcut"])
def test_the_exact_average_is_its_own_target(exact, target):
    """Long steps: what the identity asks for is, on average over the noisy velocity, what the map already says."""
    family = exact(target)
    draws = family.draws(N, generator=torch.Generator().manual_seed(0))
    start, length = draws["start"], draws["length"]
    x = torch.randn(N, 1, 1, generator=torch.Generator().manual_seed(1))
    velocity = family.average(x, start, torch.zeros_like(length), torch.zeros(N, 1, 1))
    asked = getattr(family, f"{target}_target")(x, velocity, start, length, torch.zeros(N, 1, 1))
    said = family.average(x, start, length, torch.zeros(N, 1, 1))
    rows = length > (0 if target == "meanflow" else 0.02)  # the shortest shortcut asks for velocities instead
    torch.testing.assert_close(asked[rows], said[rows], rtol=1e-3, atol=1e-3)
    wrong = exact(target, factor=1.2)
    asked = getattr(wrong, f"{target}_target")(x, velocity, start, length, torch.zeros(N, 1, 1))
    assert (asked[rows] - 1.2 * said[rows]).abs().max() > 0.05


@pytest.mark.parametrize("target", ["meanflow", "shortcut"])
def test_steps_stay_between_noise_and_data(exact, target):
    draws = exact(target).draws(N, generator=torch.Generator().manual_seed(0))
    start, length = draws["start"], draws["length"]
    assert start.min() >= 0
    assert (start + length).max() <= 1
    assert (length > 0).float().mean().item() == pytest.approx(0.5, abs=5 * 0.5 / N**0.5)
    if target == "shortcut":
        long = length > 0
        assert set(length[long].tolist()) == {0.5**k for k in range(7)}
        assert torch.equal((start[long] / length[long]).round(), start[long] / length[long])


def test_impossible_configurations():
    with pytest.raises(ValueError, match=r"long_share 1.0 must be in \(0, 1\)"):
        FlowMapConfig(long_share=1.0)
