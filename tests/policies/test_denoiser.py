"""Several noises per window: the mean over them, over one encoding of the observations."""

import dataclasses

import pytest
import torch

from robolearn.errors import UserError
from robolearn.nets.vision import CameraNet
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.family import Chunks
from robolearn.policies.flow import FlowConfig
from robolearn.policies.flowmap import FlowMapConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.score import ScoreConfig
from robolearn.types import Batch

DENOISERS = [FlowConfig, DiffusionConfig, ScoreConfig, FlowMapConfig]
MASK = torch.tensor([[True] * 4, [True, True, False, False], [True] * 4])


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("config", DENOISERS)
def test_the_loss_is_the_mean_over_the_draws_of_a_window(make_policy, config):
    family = make_policy(config(draws_per_window=4)).family
    data = Chunks(torch.rand(3, 4, 2, generator=generator()), torch.rand(3, 2, 4, generator=generator()), MASK)
    draws = family.draws(3, generator=generator())
    assert {value.shape[:2] for value in draws.values()} == {(3, 4)}
    if config is FlowMapConfig:  # what long steps learn is found in as many rows as a batch has of them
        draws["length"] = torch.zeros(3, 4)
    alone = [family.loss(data, {name: value[:, i : i + 1] for name, value in draws.items()})[0] for i in range(4)]
    assert family.loss(data, draws)[0].item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-5)


@pytest.mark.parametrize("config", DENOISERS)
def test_many_draws_of_a_window_are_drawn_as_those_of_many_windows(make_policy, config):
    one, many = (make_policy(config(draws_per_window=n)).family for n in (1, 4))
    windows, draws = one.draws(12, generator=generator()), many.draws(3, generator=generator())
    assert {name: value.shape[2:] for name, value in draws.items()} == {n: v.shape[2:] for n, v in windows.items()}
    for name, value in draws.items():
        assert torch.equal(value.flatten(0, 1), windows[name].flatten(0, 1))


def test_images_are_encoded_once_for_all_draws(make_policy):
    policy = make_policy(FlowConfig(draws_per_window=8), obs_shapes={"image": (16, 16, 3)})
    seen = []
    network = next(module for module in policy.modules() if isinstance(module, CameraNet))
    network.register_forward_hook(lambda module, arguments, output: seen.append(len(output)))
    images = torch.randint(256, (3, 2, 16, 16, 3), dtype=torch.uint8, generator=generator())
    batch = Batch({"image": images}, torch.rand(3, 4, 2, generator=generator()), MASK)
    policy.loss(batch, policy.draws(3, generator=generator()))[0].backward()
    assert seen == [3 * 2]


def test_a_teacher_takes_as_many_draws(make_policy):
    teacher = ScoreConfig(draws_per_window=3)
    family = make_policy(MixtureConfig(teacher=teacher, num_observations=4, pairs=1, num_codes=2)).family
    draws = family.draws(3, generator=generator(), player="teacher")
    assert draws["noise"].shape == (3, 3, 4, 2)
    data = Chunks(torch.zeros(3, 4, 2), torch.zeros(3, 2, 4), MASK)
    assert family.loss(data, draws, player="teacher")[0].isfinite()


@pytest.mark.parametrize("number", [0, 100_000])
@pytest.mark.parametrize("config", DENOISERS)
def test_a_number_of_draws_that_cannot_be_is_refused(config, number):
    with pytest.raises(UserError, match=f"draws_per_window {number} must be at"):
        config(draws_per_window=number)
    assert dataclasses.replace(config(), draws_per_window=2).draws_per_window == 2
