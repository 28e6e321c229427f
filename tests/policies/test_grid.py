"""Every family on every backbone keeps the same promises."""

import dataclasses

import pytest
import torch
from jaxtyping import TypeCheckError

from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.family import masked_mean
from robolearn.policies.flow import FlowConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.types import Batch

FAMILIES = {
    "regression": RegressionConfig(),
    **{
        f"diffusion-{prediction}-{sampler}": DiffusionConfig(prediction, 20, sampler, 3)
        for prediction in ("eps", "x0", "v")
        for sampler in ("ddpm", "ddim", "dpm++")
    },
    **{
        f"flow-{density}-{sampler}": FlowConfig(density, sampler, 3)
        for density in ("uniform", "logit-normal", "beta")
        for sampler in ("euler", "heun")
    },
}
BACKBONES = ["mlp", "unet", "transformer"]
# Prediction and density only change the loss, the sampler only sampling: one of each on every backbone.
SOME = ["regression", "diffusion-v-dpm++", "flow-uniform-euler"]
grid = pytest.mark.parametrize(
    ("family", "backbone"),
    [(f, b) for f in FAMILIES for b in (BACKBONES if f in SOME else ["mlp"])],
)


def make_batch(size=6, horizon=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    obs = {"state": torch.randn(size, 2, 4, generator=generator)}
    actions = torch.rand(size, horizon, 2, generator=generator) * 2 - 1
    mask = torch.arange(horizon) < torch.randint(1, horizon + 1, (size, 1), generator=generator)
    return Batch(obs, actions, mask)


def draw(policy, batch, seed=0):
    return policy.family.draws(len(batch.mask), generator=torch.Generator().manual_seed(seed))


@grid
def test_loss_reaches_every_parameter(make_policy, family, backbone):
    policy = make_policy(FAMILIES[family], backbone, action_horizon=5)
    batch = make_batch()
    loss, _ = policy.loss(batch, draw(policy, batch))
    loss.backward()
    assert loss.shape == ()
    assert loss.isfinite()
    gradients = {name: parameter.grad for name, parameter in policy.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    if family == "regression":  # what multiplies its chunk of zeros
        first = ("family.net.embed.weight", "family.net.down.0.0.")
        gradients = {name: gradient for name, gradient in gradients.items() if not name.startswith(first)}
    assert [name for name, gradient in gradients.items() if not gradient.any()] == []


@grid
def test_loss_is_a_function_of_its_draws(make_policy, family, backbone):
    policy = make_policy(FAMILIES[family], backbone, action_horizon=5)
    batch = make_batch()
    first, again, other = (policy.loss(batch, draw(policy, batch, seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert family == "regression" or not torch.equal(first, other)


@grid
def test_padded_targets_do_not_count(make_policy, family, backbone):
    """A hook on the network turns every padded step of its output to nonsense."""
    policy = make_policy(FAMILIES[family], backbone, action_horizon=5)
    batch = make_batch()
    draws = draw(policy, batch)
    everything = dataclasses.replace(batch, mask=torch.ones_like(batch.mask))
    before, before_unmasked = policy.loss(batch, draws)[0], policy.loss(everything, draws)[0]
    policy.family.net.register_forward_hook(lambda *call: call[-1] + 1e3 * ~batch.mask[:, :, None])
    torch.testing.assert_close(policy.loss(batch, draws)[0], before, rtol=0, atol=0)
    assert policy.loss(everything, draws)[0] > 2 * before_unmasked  # without the mask it would show


@grid
def test_sampling_is_a_function_of_its_noise(make_policy, family, backbone):
    policy = make_policy(FAMILIES[family], backbone, action_horizon=5)
    obs = make_batch().obs
    noise = [policy.family.noise(6, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    with torch.no_grad():
        first, again, other = (policy.act(obs, n) for n in noise)
    assert first.shape == (6, 5, 2)
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert family == "regression" or not torch.equal(first, other)


@grid
def test_nfe_counts_calls_of_the_network(make_policy, family, backbone):
    policy = make_policy(FAMILIES[family], backbone)
    calls = []
    policy.family.net.register_forward_hook(lambda *_: calls.append(1))
    policy.sample({"state": torch.zeros(1, 2, 4)}, 1, generator=torch.Generator().manual_seed(0))
    assert len(calls) == policy.family.nfe


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_of_a_joint_batch_can_be_dealt_out(make_policy, family):
    """The mean over the shards' losses is the loss of the whole: what several processes rest on."""
    policy = make_policy(FAMILIES[family], action_horizon=5)
    batch = make_batch()
    draws = draw(policy, batch)
    losses = []
    for part in (slice(0, 3), slice(3, 6)):
        shard = Batch({"state": batch.obs["state"][part]}, batch.actions[part], batch.mask[part])
        losses.append(policy.loss(shard, {k: v[part] for k, v in draws.items()})[0])
    torch.testing.assert_close(torch.stack(losses).mean(), policy.loss(batch, draws)[0])


def test_masked_mean_gives_every_recorded_step_the_same_weight():
    error = torch.ones(2, 4, 3)
    mask = torch.tensor([[True, True, True, True], [True, False, False, False]])
    assert masked_mean(error, mask) == 5 / 8


# With the type checker that the tests run under, a wrong literal does not even reach the check.
WRONG = (ValueError, TypeCheckError)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("regression", {"steps": 3}, "Regression has no run-time choice 'steps'; it has: none"),
        ("flow-uniform-euler", {"prediction": "v"}, r"'prediction'; it has: \['sampler', 'steps'\]"),
        ("flow-uniform-euler", {"sampler": "ddim"}, "euler.*heun|heun.*euler"),
        ("flow-uniform-euler", {"steps": 0}, "flow: steps 0 must be at least 1"),
        ("diffusion-v-ddim", {"sampler": "heun"}, "ddpm.*ddim"),
        ("diffusion-v-ddim", {"steps": 21}, r"diffusion: steps 21 must be in 1\.\.20"),
        ("diffusion-v-ddim", {"steps": 0}, r"in 1\.\.20"),
        ("diffusion-v-ddim", {"train_steps": 50}, r"it has: \['sampler', 'steps'\]"),
    ],
)
def test_run_time_choices_are_checked(make_policy, family, changes, message):
    policy = make_policy(FAMILIES[family])
    before = policy.family.cfg
    with pytest.raises(WRONG, match=message):
        policy.family.reconfigure(**changes)
    assert policy.family.cfg == before


def test_reconfigure_leaves_none_alone(make_policy):
    family = make_policy(FAMILIES["diffusion-v-ddim"]).family
    family.reconfigure(sampler=None, steps=7)
    assert (family.cfg.sampler, family.nfe) == ("ddim", 7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiffusionConfig(prediction="score"), "eps.*x0.*v"),
        (lambda: FlowConfig(time_density="cosine"), "uniform.*logit-normal.*beta"),
    ],
)
def test_impossible_configurations(make, message):
    with pytest.raises(WRONG, match=message):
        make()
