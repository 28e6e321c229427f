"""Actions that are decided already: a condition of every family, shown in training at random."""

import json

import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.data.windows import Windows
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.prefix import LENGTH, Prefix, prefix_draws, prefix_features
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.training.examples import examples
from robolearn.types import Batch

HORIZON, P = 4, 3
OBS = {"state": torch.linspace(-1, 1, 16).view(2, 2, 4)}
NOISE_SEED = 3


def act(policy, prefix=None, obs=OBS):
    noise = policy.family.noise(2, generator=torch.Generator().manual_seed(NOISE_SEED))
    with torch.no_grad():
        return policy.act(obs, noise, prefix)


def make_prefix(*lengths, seed=0):
    actions = torch.rand(len(lengths), P, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return Prefix(actions, torch.tensor(lengths))


def test_unknown_actions_are_zero_and_flagged():
    features = prefix_features(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]).expand(3, 2, 2), torch.tensor([0, 1, 2]))
    expected = [[0, 0, 0, 0, 0, 0], [1, 2, 1, 0, 0, 0], [1, 2, 1, 3, 4, 1]]
    torch.testing.assert_close(features, torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize("backbone", ["mlp", "unet", "transformer"])
@pytest.mark.parametrize(
    "family",
    [RegressionConfig(), GMMConfig(num_components=3), CVAEConfig(latent_dim=3), FlowConfig(steps=2),
     DiffusionConfig(train_steps=20, steps=3)],
    ids=lambda f: type(f).__name__,
)  # fmt: skip
def test_known_actions_reach_the_network_and_unknown_ones_do_not(make_policy, family, backbone):
    policy = make_policy(family, backbone, prefix_horizon=P)
    prefix = make_prefix(1, 2)
    chunks = act(policy, prefix)
    for i, length in enumerate(prefix.length.tolist()):
        for step in range(P):
            actions = prefix.actions.clone()
            actions[i, step] += 0.5
            changed = (act(policy, Prefix(actions, prefix.length)) != chunks).flatten(1).any(1)
            assert changed[i] == (step < length)
            assert not changed[1 - i]


def test_without_a_prefix_nothing_is_known(make_policy):
    policy = make_policy(FlowConfig(steps=2), prefix_horizon=P)
    assert torch.equal(act(policy), act(policy, make_prefix(0, 0)))
    assert not torch.equal(act(policy), act(policy, make_prefix(0, 1)))


def test_a_known_zero_is_not_an_unknown_action(make_policy):
    policy = make_policy(FlowConfig(steps=2), prefix_horizon=P)
    zeros = torch.zeros(2, P, 2)
    chunks = [act(policy, Prefix(zeros, torch.tensor([n, n]))) for n in range(P + 1)]
    assert all(not torch.equal(a, b) for a, b in zip(chunks[1:], chunks[:-1], strict=True))


def test_a_prefix_is_in_physical_units(make_policy):
    policy = make_policy(FlowConfig(steps=2), prefix_horizon=P)
    prefix = make_prefix(1, 3)
    before = act(policy, prefix)
    policy.normalizer.action_scale *= 5
    policy.normalizer.action_centre += 7
    after = act(policy, Prefix(5 * prefix.actions + 7, prefix.length))
    torch.testing.assert_close(after, 5 * before + 7, rtol=1e-4, atol=1e-4)


def test_every_length_is_drawn_alike():
    length = prefix_draws(4000, P, generator=torch.Generator().manual_seed(0))[LENGTH]
    counts = torch.bincount(length, minlength=P + 1)
    assert len(counts) == P + 1
    assert (counts - 1000).abs().max() < 130  # 4.7 standard deviations


def test_without_a_prefix_horizon_nothing_changes(make_policy):
    """The same random stream, the same weights, the same loss as before there were prefixes."""
    policy = make_policy(FlowConfig())
    one, other = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    draws, family = policy.draws(8, generator=one), policy.family.draws(8, generator=other)
    assert draws.keys() == family.keys()
    assert torch.equal(one.get_state(), other.get_state())
    assert policy.encode(OBS).shape == (2, 2, policy.encoder.cond_dim)


def batch_of(size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    actions = 2 * torch.rand(size, HORIZON, 2, generator=generator) - 1
    obs = {"state": torch.randn(size, 2, 4, generator=generator)}
    return Batch(obs, actions, torch.ones(size, HORIZON, dtype=torch.bool))


@pytest.mark.parametrize("kind", ["loss", "validation_loss"])
def test_the_losses_see_as_many_actions_as_were_drawn(make_policy, kind):
    policy, batch = make_policy(FlowConfig(), prefix_horizon=P), batch_of()
    draw = policy.draws if kind == "loss" else policy.validation_draws
    draws = draw(8, generator=torch.Generator().manual_seed(0))
    assert len(draws[LENGTH].unique()) > 1
    seen = []
    exact = policy.encode
    policy.encode = lambda obs, prefix=None: seen.append(prefix) or exact(obs, prefix)
    getattr(policy, kind)(batch, draws)
    (prefix,) = seen
    assert torch.equal(prefix.actions, batch.actions[:, :P])
    assert torch.equal(prefix.length, draws[LENGTH])


def test_players_are_prepared_with_prefixes_too(make_policy):
    policy, batch = make_policy(FlowConfig(), prefix_horizon=P), batch_of(60)
    windows = Windows({"state": batch.obs["state"][:, 0]}, batch.actions[:, 0], [30, 60], 2, HORIZON)
    data = examples(policy, windows, torch.Generator().manual_seed(0))(50)
    cond, actions = data.cond, data.actions
    known, flags = cond[:, 0, -3 * P :].view(50, P, 3).split([2, 1], dim=2)
    torch.testing.assert_close(known, actions[:, :P] * flags)
    assert flags.sum((1, 2)).unique().tolist() == [0, 1, 2, 3]


def test_what_was_saved_is_loaded(tmp_path, make_policy):
    policy = make_policy(FlowConfig(steps=2), prefix_horizon=P)
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path)
    assert loaded.cfg == policy.cfg
    assert torch.equal(act(loaded, make_prefix(1, 2)), act(policy, make_prefix(1, 2)))


def test_policies_from_before_there_were_prefixes_are_read(tmp_path, make_policy):
    policy = make_policy(FlowConfig(steps=2))
    policy.save(tmp_path)
    path = tmp_path / "policy.json"
    raw = json.loads(path.read_text())
    assert raw.pop("prefix_horizon") == 0
    path.write_text(json.dumps(raw))
    assert torch.equal(act(Policy.load(tmp_path)), act(policy))


def test_a_trained_policy_goes_on_from_what_is_decided():
    """Demonstrations hold +1 or -1: regression follows the first action, and averages where it is not told."""
    torch.manual_seed(0)
    shapes = {"state": (1,)}
    cfg = PolicyConfig(RegressionConfig(), MLPConfig(16, 1, dropout=0.0), shapes, 1, 1, HORIZON, prefix_horizon=2)
    policy = Policy(cfg, Normalizer({**shapes, "action": (1,)}))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2, fused=True)
    generator = torch.Generator().manual_seed(0)
    obs = {"state": torch.zeros(32, 1, 1)}
    for _ in range(80):
        sign = torch.randint(0, 2, (32, 1, 1), generator=generator) * 2.0 - 1
        batch = Batch(obs, sign.expand(32, HORIZON, 1), torch.ones(32, HORIZON, dtype=torch.bool))
        policy.loss(batch, policy.draws(32, generator=generator))[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    signs = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    obs = {"state": torch.zeros(2, 1, 1)}
    for length in (1, 2):
        chunks = act(policy, Prefix(signs.expand(2, 2, 1), torch.tensor([length, length])), obs)
        assert (chunks - signs).abs().max() < 0.15
    assert act(policy, None, obs).abs().max() < 0.5


def test_known_actions_are_no_part_of_what_tokens_are_relative_to(make_policy):
    """Left or right is decided, however often the first action is known."""
    policy, generator = make_policy(TokensConfig(num_bins=4), prefix_horizon=P), torch.Generator().manual_seed(0)
    state = torch.rand(200, 8, 4, generator=generator).flatten(0, 1)
    way = torch.randn(200, 1, 2, generator=generator).sign().expand(200, 8, 2).flatten(0, 1)
    windows = Windows({"state": state}, way.contiguous(), list(range(8, 1601, 8)), 2, HORIZON)
    policy.family.fitted.fill_(False)
    policy.family.begin("policy", examples(policy, windows, generator), generator=generator)
    assert policy.family.anchor.share.max() < 0.1
