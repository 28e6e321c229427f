"""Policies that see: images vary in training only, and every family and backbone learns its cameras too."""

import dataclasses
import json

import pytest
import torch

from robolearn.data.augment import COLOR, SHIFT
from robolearn.data.view import resize_images
from robolearn.nets.vision import VisionConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.policies.regression import RegressionConfig
from robolearn.training.config import TrainConfig
from robolearn.training.device import autocast
from robolearn.training.state import TrainState
from robolearn.types import Batch

SHAPES = {"front": (16, 16, 3), "state": (4,), "wrist": (12, 16, 1)}
FAMILIES = [RegressionConfig(), DiffusionConfig(train_steps=20, steps=3), FlowConfig(steps=2)]


def make_obs(size=4, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def image(key):
        return torch.randint(256, (size, 2, *SHAPES[key]), generator=generator, dtype=torch.uint8)

    return {"front": image("front"), "state": torch.randn(size, 2, 4, generator=generator), "wrist": image("wrist")}


def make_batch():
    actions = 2 * torch.rand(4, 4, 2, generator=torch.Generator().manual_seed(1)) - 1
    return Batch(make_obs(), actions, torch.ones(4, 4, dtype=torch.bool))


def draw(policy, seed=0):
    return policy.draws(4, generator=torch.Generator().manual_seed(seed))


def act(policy, obs):
    return policy.sample(obs, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backbone", ["mlp", "unet", "transformer", "lstm"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f).__name__)
def test_every_family_on_every_backbone_learns_from_state_and_two_cameras(make_policy, family, backbone):
    policy = make_policy(family, backbone, obs_shapes=SHAPES)
    loss, _ = policy.loss(make_batch(), draw(policy))
    loss.backward()
    assert loss.isfinite()
    assert [name for name, p in policy.encoder.named_parameters() if p.grad is None or not p.grad.any()] == []
    chunks = act(policy, make_obs())
    assert chunks.shape == (4, 2, 4, 2)
    assert chunks.isfinite().all()
    for key in SHAPES:
        changed = {**make_obs(), key: make_obs(seed=1)[key]}
        assert not torch.equal(act(policy, changed), chunks)


def cropped(policy, **sizes):
    """The same policy, which sees less."""
    vision = dataclasses.replace(policy.cfg.vision, **sizes)
    made = Policy(dataclasses.replace(policy.cfg, vision=vision), policy.normalizer)
    made.load_state_dict(policy.state_dict())
    return made.eval()


def test_training_and_acting_see_the_same_part_of_an_image(make_policy, tmp_path):
    """What is cut off matters to neither, and a saved policy crops as it did."""
    whole = make_policy(RegressionConfig(), obs_shapes={"front": (16, 16, 3), "state": (4,)})
    policy = cropped(whole, crop=(12, 10), resize=(6, 5), shift=0, jitter=0.0)
    batch, obs = make_batch(), make_obs()
    small = {**obs, "front": resize_images(obs["front"][:, :, 2:14, 3:13], (6, 5))}
    assert torch.equal(act(policy, obs), act(whole, small))
    assert torch.equal(act(policy, obs), act(policy, small))
    outside = obs["front"].clone()
    outside[:, :, :2], outside[:, :, :, 13:] = 0, 255
    changed = dataclasses.replace(batch, obs={**batch.obs, "front": outside})
    assert torch.equal(act(policy, changed.obs), act(policy, obs))
    assert torch.equal(policy.loss(changed, draw(policy))[0], policy.loss(batch, draw(policy))[0])
    kept = {name: value for name, value in draw(policy).items() if name not in (SHIFT, COLOR)}
    assert torch.equal(policy.loss(batch, draw(policy))[0], policy.loss(batch, kept)[0])
    policy.save(tmp_path)
    assert torch.equal(act(Policy.load(tmp_path), obs), act(policy, obs))


def test_a_crop_that_is_no_part_of_the_image_is_refused(make_policy):
    policy = make_policy(RegressionConfig(), obs_shapes=SHAPES)
    with pytest.raises(ValueError, match=r"`vision.crop` 14 x 14: the images are 12 x 16"):  # of the wrist
        cropped(policy, crop=(14, 14))
    with pytest.raises(ValueError, match=r"`vision.crop` 1 x 9 must be at least 2 x 2"):
        VisionConfig(crop=(1, 9))


def test_the_loss_is_a_function_of_all_draws(make_policy):
    policy, batch = make_policy(FlowConfig(), obs_shapes=SHAPES), make_batch()
    draws = draw(policy)
    first, again = (policy.loss(batch, draws)[0] for _ in range(2))
    assert torch.equal(first, again)
    for name in (SHIFT, COLOR):
        other = policy.loss(batch, {**draws, name: draw(policy, seed=1)[name]})[0]
        assert not torch.equal(first, other)


def test_draws_of_the_family_alone_leave_images_as_they_are(make_policy):
    policy, batch = make_policy(FlowConfig(), obs_shapes=SHAPES), make_batch()
    draws = draw(policy)
    still = {**draws, SHIFT: torch.zeros_like(draws[SHIFT]), COLOR: torch.zeros_like(draws[COLOR])}
    without = {name: value for name, value in draws.items() if name not in (SHIFT, COLOR)}
    assert torch.equal(policy.loss(batch, without)[0], policy.loss(batch, still)[0])
    assert not torch.equal(policy.loss(batch, without)[0], policy.loss(batch, draws)[0])


def test_a_policy_without_images_draws_what_its_family_draws(make_policy):
    policy = make_policy(FlowConfig())
    family = policy.family.draws(4, generator=torch.Generator().manual_seed(0))
    draws = draw(policy)
    assert list(draws) == list(family)
    assert all(torch.equal(draws[name], family[name]) for name in family)


def test_nothing_varies_when_acting(make_policy, monkeypatch):
    def refuse(*_):
        raise AssertionError("augmented")

    policy = make_policy(FlowConfig(), obs_shapes=SHAPES)
    monkeypatch.setattr("robolearn.policies.policy.augment", refuse)
    for training in (True, False):
        policy.train(training)
        assert torch.equal(act(policy, make_obs()), act(policy, make_obs()))
    with pytest.raises(AssertionError, match="augmented"):
        policy.loss(make_batch(), draw(policy))


def test_what_was_saved_is_loaded(tmp_path, make_policy):
    policy = make_policy(FlowConfig(), obs_shapes=SHAPES)
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path)
    assert loaded.cfg == policy.cfg
    assert torch.equal(act(policy, make_obs()), act(loaded, make_obs()))


def test_a_policy_saved_before_there_were_cameras_is_loaded(tmp_path, make_policy):
    policy = make_policy(FlowConfig())
    policy.save(tmp_path)
    path = tmp_path / "policy.json"
    raw = json.loads(path.read_text())
    del raw["vision"]
    path.write_text(json.dumps(raw))
    loaded = Policy.load(tmp_path)
    assert loaded.cfg.vision == VisionConfig()
    assert torch.equal(act(loaded, make_obs()), act(policy, make_obs()))


def test_an_optimizer_step_moves_every_parameter_of_the_cameras(make_policy):
    state = TrainState(make_policy(FlowConfig(), obs_shapes=SHAPES), TrainConfig())
    before = {name: p.detach().clone() for name, p in state.policy.named_parameters()}
    optimizer = state.optimizers["policy"]
    with state.differentiated(), autocast(state.policy.device, state.cfg.amp):
        optimizer.differentiate(state.policy.loss(make_batch(), draw(state.policy))[0])
    optimizer.move()
    assert [name for name, p in state.policy.named_parameters() if torch.equal(p, before[name])] == []
