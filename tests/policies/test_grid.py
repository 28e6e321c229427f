"""Every family on every backbone keeps the same promises."""

import dataclasses
import math

import pytest
import torch
from jaxtyping import TypeCheckError

from robolearn.nets.lstm import LSTM
from robolearn.nets.mlp import MLP
from robolearn.nets.transformer import Transformer
from robolearn.nets.unet import UNet
from robolearn.nets.unet_rows import whole_convolutions
from robolearn.policies import mixture
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.family import Chunks, Examples
from robolearn.policies.flow import FlowConfig
from robolearn.policies.flowmap import FlowMapConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.gp import GPConfig
from robolearn.policies.losses import energy_score, masked_mean
from robolearn.policies.mip import MIPConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.score import ScoreConfig
from robolearn.policies.tokens import TokensConfig
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
    "mip": MIPConfig(),
    "gmm": GMMConfig(num_components=3),
    "gp": GPConfig(num_inducing=8, width=3),
    "gp-spread": GPConfig(num_inducing=50, width=3, std_scale=1.0),  # more points than windows
    "cvae": CVAEConfig(latent_dim=3),
    "cvae-act": CVAEConfig(latent_dim=3, beta=10.0, learned_prior=False, latent="zero"),
    **{f"score-{s}": ScoreConfig(sampler=s, steps=3, langevin_repeats=5) for s in ("heun", "euler", "langevin")},
    **{f"flowmap-{target}": FlowMapConfig(target, steps=2) for target in ("meanflow", "shortcut")},
    **{f"mixture-{v}": MixtureConfig(v, num_codes=4, num_observations=6, pairs=3) for v in ("hard-code", "plain")},
    "mixture-teacher": MixtureConfig(num_codes=4, num_observations=6, pairs=3, sampler="teacher"),
    **{f"gan-{objective}": GanConfig(objective) for objective in ("r3gan", "non-saturating", "wgan-gp", "hinge")},
    "gan-cgd": GanConfig("wgan-gp", "cgd"),
    "tokens-bins": TokensConfig(num_bins=4, width=8),
    "tokens-residual-vq": TokensConfig("residual-vq", num_codes=4, width=8),
}
BACKBONES = ["mlp", "unet", "transformer", "lstm"]
# Prediction and density only change the loss, the sampler only sampling: one of each on every backbone.
SOME = ["regression", "mip", "gmm", "gp", "cvae", "diffusion-v-dpm++", "score-heun", "flow-uniform-euler"]
SOME += ["flowmap-meanflow", "flowmap-shortcut", "mixture-hard-code", "mixture-plain"]
SOME += ["tokens-bins", "tokens-residual-vq", "gan-r3gan"]
# Nothing in the loss is random; sampling is deterministic; the network's chunk input is zero.
NO_DRAWS = ("regression", "gmm", "gp", "gp-spread", "tokens-bins", "tokens-residual-vq")
NO_NOISE = ("regression", "mip", "gp", "cvae-act")
NO_INPUT = ("regression", "gmm", "gp", "gp-spread", "mixture-plain", "tokens-bins", "tokens-residual-vq")
DIFFERENCES = ("gan-r3gan", "gan-wgan-gp")
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


def prepared(make_policy, family, backbone="mlp"):
    """A policy of which every player has been prepared on some windows."""
    policy, windows = make_policy(FAMILIES[family], backbone, action_horizon=5), make_batch(size=40, seed=1)

    def examples(n):
        return Chunks(windows.actions, policy.encode(windows.obs), torch.ones_like(windows.mask))[:n]

    for player in policy.family.players():
        policy.family.begin(player, Examples(examples, 40), generator=torch.Generator().manual_seed(0))
    return policy


def draw(policy, batch, player, seed=0):
    return policy.family.draws(len(batch.mask), generator=torch.Generator().manual_seed(seed), player=player)


@grid
def test_loss_reaches_every_parameter(make_policy, family, backbone):
    policy, batch = prepared(make_policy, family, backbone), make_batch()
    for name, player in policy.family.players().items():
        policy.zero_grad()
        loss, _ = policy.loss(batch, draw(policy, batch, name), player=name)
        loss.backward()
        assert loss.shape == ()
        assert loss.isfinite()
        modules = [module for module in (player.module, player.opponent) if module is not None]
        gradients = {key: parameter.grad for module in modules for key, parameter in module.named_parameters()}
        assert [key for key, gradient in gradients.items() if gradient is None] == []
        if family in NO_INPUT or name == "codes":  # what multiplies a chunk of zeros
            first = ("net.embed.weight", "net.down.0.0.")
            gradients = {key: gradient for key, gradient in gradients.items() if not key.startswith(first)}
        if family in DIFFERENCES:  # of scores: what is added to all of them
            gradients = {k: g for k, g in gradients.items() if k != "net.out.bias" or name != "critic"}
        assert [key for key, gradient in gradients.items() if not gradient.any()] == []


@grid
def test_loss_is_a_function_of_its_draws(make_policy, family, backbone):
    policy, batch = prepared(make_policy, family, backbone), make_batch()
    for name in policy.family.players():
        first, again, other = (
            policy.loss(batch, draw(policy, batch, name, seed), player=name)[0] for seed in (0, 0, 1)
        )
        assert torch.equal(first, again)
        assert family in NO_DRAWS or not torch.equal(first, other)


@grid
def test_padded_targets_do_not_count(make_policy, family, backbone):
    """A hook on the network that learns from the batch turns every padded step of its output to nonsense."""
    if family.startswith(("gmm", "gp")):
        pytest.skip("its weights are means over all steps of the output; see test_gmm.py and test_gp.py")
    policy, batch = prepared(make_policy, family, backbone), make_batch()
    learner = policy.family.teacher if family.startswith("mixture") else policy.family
    name = "policy" if family.startswith("tokens") else next(iter(policy.family.players()))
    draws = draw(policy, batch, name)
    everything = dataclasses.replace(batch, mask=torch.ones_like(batch.mask))
    before, before_unmasked = (policy.loss(b, draws, player=name)[0] for b in (batch, everything))
    hidden = ~batch.mask[:, :, None]

    def hook(*call):
        repeats, rest = divmod(len(call[-1]), len(hidden))
        return call[-1] + 1e3 * hidden.repeat(repeats, 1, 1) if rest == 0 else None  # a flow map's target: some rows

    learner.net.register_forward_hook(hook)
    torch.testing.assert_close(policy.loss(batch, draws, player=name)[0], before, rtol=0, atol=0)
    after_unmasked = policy.loss(everything, draws, player=name)[0]  # without the mask it would show
    if family.startswith("gan"):  # what adversaries lose is no distance
        assert not torch.isclose(after_unmasked, before_unmasked)
    else:
        assert after_unmasked > 2 * before_unmasked


@grid
def test_sampling_is_a_function_of_its_noise(make_policy, family, backbone):
    policy = make_policy(FAMILIES[family], backbone, action_horizon=5)
    obs = make_batch(size=64).obs
    noise = [policy.family.noise(64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    with torch.no_grad():
        first, again, other = (policy.act(obs, n) for n in noise)
    assert first.shape == (64, 5, 2)
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert family in NO_NOISE or not torch.equal(first, other)


@grid
def test_nfe_counts_calls_of_networks(make_policy, family, backbone):
    policy = make_policy(FAMILIES[family], backbone)
    calls = []
    for module in policy.modules():
        if isinstance(module, MLP | UNet | Transformer | LSTM):  # its last layer is called at every evaluation
            module.out.register_forward_hook(lambda *_: calls.append(1))
    with whole_convolutions():  # rows ask no module of a U-Net
        policy.sample({"state": torch.zeros(1, 2, 4)}, 1, generator=torch.Generator().manual_seed(0))
    assert len(calls) == policy.family.nfe


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_of_a_joint_batch_can_be_dealt_out(make_policy, family, monkeypatch):
    """The mean over the shards' losses is the loss of the whole: what several processes rest on."""
    # Codes are balanced over a shard; all else of their loss is dealt out like any other.
    monkeypatch.setattr(mixture, "balanced", lambda logits: logits.softmax(2))
    policy, batch = prepared(make_policy, family), make_batch()
    for name in policy.family.players():
        draws = draw(policy, batch, name)
        losses = []
        for part in (slice(0, 3), slice(3, 6)):
            shard = Batch({"state": batch.obs["state"][part]}, batch.actions[part], batch.mask[part])
            losses.append(policy.loss(shard, {k: v[part] for k, v in draws.items()}, player=name)[0])
        whole = policy.loss(batch, draws, player=name)[0]
        if family.startswith("cvae"):  # free bits are applied to the mean of each shard
            assert torch.stack(losses).mean() >= whole - 1e-6
        else:
            torch.testing.assert_close(torch.stack(losses).mean(), whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_held_out_windows_are_judged(make_policy, family):
    policy, batch = prepared(make_policy, family), make_batch()
    draws = policy.family.validation_draws(6, generator=torch.Generator().manual_seed(0))
    if family.startswith(("mixture", "gan")):
        assert policy.validation_loss(batch, draws).isfinite()
    else:
        assert torch.equal(policy.validation_loss(batch, draws), policy.loss(batch, draws)[0])


def test_the_energy_score_is_least_for_the_true_distribution():
    """Of normal samples against standard normal data: too narrow and too wide are both worse."""
    generator, mask = torch.Generator().manual_seed(0), torch.ones(20_000, 1, dtype=torch.bool)
    first, second, data = torch.randn(3, 20_000, 1, 1, generator=generator)
    scores = {scale: energy_score(scale * first, scale * second, data, mask).item() for scale in (0.5, 1.0, 2.0)}
    assert scores[1.0] < min(scores[0.5], scores[2.0]) - 0.02
    assert scores[1.0] == pytest.approx(1 / math.sqrt(math.pi), abs=0.02)  # E|x - a| / 2


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
        ("flow-uniform-euler", {"prediction": "v"}, r"'prediction'; it has: \['sampler', 'steps', 'last_noise'\]"),
        ("flow-uniform-euler", {"sampler": "ddim"}, "euler.*heun|heun.*euler"),
        ("flow-uniform-euler", {"steps": 0}, "flow: steps 0 must be at least 1"),
        ("diffusion-v-ddim", {"sampler": "heun"}, "ddpm.*ddim"),
        ("diffusion-v-ddim", {"steps": 21}, r"diffusion: steps 21 must be in 1\.\.20"),
        ("diffusion-v-ddim", {"steps": 0}, r"in 1\.\.20"),
        ("diffusion-v-ddim", {"train_steps": 50}, r"it has: \['sampler', 'steps', 'last_noise'\]"),
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
