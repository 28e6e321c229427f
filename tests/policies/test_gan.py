"""The losses of generator and critic against closed forms, the critic's networks, and a game of two modes."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn
from torch.nn.functional import relu, softplus

from robolearn.data.normalizer import Normalizer
from robolearn.data.windows import Windows
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.adversarial import normalize_spectrum
from robolearn.policies.family import Chunks
from robolearn.policies.gan import GAMMA, HINGE_SCALE, GanConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.training.config import TrainConfig
from robolearn.training.run import Run
from robolearn.training.state import TrainState
from robolearn.training.step import optimize

OBJECTIVES = ["r3gan", "non-saturating", "wgan-gp", "hinge"]
HORIZON = 3


class LinearGenerator(nn.Module):
    """g(e, o) = w e + o."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.7))

    def forward(self, x, cond, time=None):
        return self.gain * x + cond


class QuadraticCritic(nn.Module):
    """D(x, o) = mean over the chunk of w x + q x^2 / 2 + o, whose slope is (w + q x) / horizon."""

    def __init__(self):
        super().__init__()
        self.linear, self.quadratic = nn.Parameter(torch.tensor(1.3)), nn.Parameter(torch.tensor(0.4))

    def forward(self, x, cond, time=None):
        return self.linear * x + 0.5 * self.quadratic * x.square() + cond


class TakeInTurn:
    """Hands out the networks of an iterator."""

    def __init__(self, *nets):
        self.nets = iter(nets)

    def __call__(self, dim_in, dim_out, num_times):
        return next(self.nets)

    def head(self, dim_in, dim_out):
        raise NotImplementedError


@pytest.fixture
def toy(monkeypatch):
    """A family of these two, and what its loss takes: 5 rows with padding."""
    monkeypatch.setattr("robolearn.policies.gan.normalize_spectrum", lambda net: None)

    def make(*choices):
        family = GanConfig(*choices).build(TakeInTurn(LinearGenerator(), QuadraticCritic()), HORIZON, 1)
        generator = torch.Generator().manual_seed(0)
        actions, cond = (torch.randn(5, n, 1, generator=generator) for n in (HORIZON, 1))
        mask = torch.arange(HORIZON) < torch.tensor([3, 1, 2, 3, 2])[:, None]
        return family, (Chunks(actions, cond, mask), family.draws(5, generator=generator, progress=0.5))

    return make


def written_out(objective, family, data, draws):
    """Losses of critic and generator with the slope in closed form; all chunks [b, t], zero where padded."""
    actions, cond, valid, critic = data.actions, data.cond, data.mask.float(), family.critic.net
    real = actions[..., 0] * valid
    fake = (family.net.gain * draws["first"][..., 0] + cond[..., 0]) * valid

    def score(x):
        return (critic.linear * x + 0.5 * critic.quadratic * x**2).mean(1) + cond[:, 0, 0]

    def slope(x):
        return (((critic.linear + critic.quadratic * x.detach()) * valid / HORIZON) ** 2).sum(1)

    r, f = score(real), score(fake)
    if objective == "hinge":
        r, f = score(HINGE_SCALE * real), score(HINGE_SCALE * fake)
        return (relu(1 - r) + relu(1 + f)).mean(), -f.mean()
    gamma = math.sqrt(math.prod(GAMMA[objective]))  # halfway on a geometric scale
    if objective == "r3gan":
        return (softplus(f - r) + gamma / 2 * (slope(real) + slope(fake))).mean(), softplus(r - f).mean()
    if objective == "non-saturating":
        return (softplus(-r) + softplus(f) + gamma / 2 * slope(real)).mean(), softplus(-f).mean()
    between = real + draws["place"][:, 0] * (fake - real)
    return (f - r + gamma * relu(slope(between).sqrt() - 1) ** 2).mean(), -f.mean()


def test_a_normalized_critic_trains_by_the_command_and_acts(tmp_path, train_main, tiny_flags, demos):
    """Its policy is planned without memory before it is trained and whenever it is loaded."""
    flags = ["gan", *tiny_flags[1:], "--family.objective", "hinge", "--dataset.path", str(demos), "--steps", "2"]
    train_main([*flags, "--out", str(tmp_path / "run")])
    policy = Policy.load(Run.open(tmp_path / "run").checkpoint())
    chunks = policy.sample({"state": torch.zeros(1, 1, 4)}, 3, generator=torch.Generator().manual_seed(0))
    assert chunks.isfinite().all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_losses_and_their_gradients_are_those_written_out(toy, objective):
    """The slope's own gradient among them, which takes a derivative of a derivative."""
    family, arguments = toy(objective)
    critic, generator = written_out(objective, family, *arguments)
    for player, expected, learns, holds in (
        ("critic", critic, family.critic, family.net),
        ("policy", generator, family.net, family.critic),
    ):
        family.zero_grad()
        loss = family.loss(*arguments, player=player)[0]
        loss.backward()
        torch.testing.assert_close(loss, expected)
        gradients = torch.autograd.grad(expected, list(learns.parameters()), retain_graph=True)
        torch.testing.assert_close([p.grad for p in learns.parameters()], list(gradients))
        assert all(p.grad is None for p in holds.parameters())


def test_the_game_of_cgd_is_what_the_critic_gains(toy):
    family, arguments = toy("wgan-gp", "cgd")
    value, expected = family.loss(*arguments)[0], -written_out("wgan-gp", family, *arguments)[0]
    torch.testing.assert_close(value, expected)
    parameters = list(family.parameters())
    gradients = [torch.autograd.grad(loss, parameters) for loss in (value, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_the_critic_moves_first_and_as_often_as_asked(toy, critic_steps):
    players = toy("r3gan", "adam", None, critic_steps)[0].players()
    assert [(name, player.every) for name, player in players.items()] == [("critic", 1), ("policy", critic_steps)]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_encoder_never_learns_to_please_the_critic(toy, objective):
    """The generator's loss reaches the condition through the generator's own input alone."""
    family, (data, draws) = toy(objective)
    seen = []
    family.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1].requires_grad))
    for player in ("policy", "critic"):
        family.loss(Chunks(data.actions, data.cond.clone().requires_grad_(), data.mask), draws, player=player)
    assert seen[0] is False
    assert all(seen[1:])


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("player", ["critic", "policy"])
def test_padded_steps_do_not_count(toy, objective, player):
    """Neither those of the data nor those of the samples."""
    family, (data, draws) = toy(objective)
    actions, cond, mask = data.actions, data.cond, data.mask
    before = family.loss(data, draws, player=player)
    for noise in ("first", "second"):
        draws[noise] = torch.where(mask[:, :, None], draws[noise], 1e3)
    loss, details = family.loss(Chunks(torch.where(mask[:, :, None], actions, 1e3), cond, mask), draws, player=player)
    assert torch.equal(loss, before[0])
    assert details == before[1]
    everything = torch.ones_like(mask)
    assert not torch.equal(family.loss(Chunks(actions, cond, everything), draws, player=player)[0], loss)


def test_the_weight_of_the_penalty_goes_from_its_start_to_its_end(toy):
    family, _ = toy("r3gan", "adam", (1.0, 0.01))
    generator = torch.Generator()
    weights = [family.draws(1, generator=generator, progress=p)["gamma"].item() for p in (0.0, 0.5, 1.0)]
    assert weights == pytest.approx([1.0, 0.1, 0.01])


def test_spread_is_one_for_the_true_distribution_and_falls_with_the_noise(toy):
    family, _ = toy("r3gan")
    generator, size = torch.Generator().manual_seed(0), 20_000
    actions, mask = torch.randn(size, HORIZON, 1, generator=generator), torch.ones(size, HORIZON, dtype=torch.bool)
    draws = family.draws(size, generator=generator)
    spreads = []
    for gain in (1.0, 0.1, 0.0):
        family.net.gain.data.fill_(gain)
        spreads.append(family.loss(Chunks(actions, torch.zeros(size, 1, 1), mask), draws)[1]["spread"].item())
    assert spreads[0] == pytest.approx(1.0, abs=0.02)
    assert spreads[1] == pytest.approx(math.sqrt(0.02 / 1.01), abs=0.02)
    assert spreads[2] == 0


@pytest.mark.parametrize("backbone", ["mlp", "unet", "transformer", "lstm"])
def test_every_matrix_of_a_hinge_critic_has_spectral_norm_one(make_policy, backbone):
    policy = make_policy(GanConfig("hinge"), backbone).train()
    obs, chunk, mask = torch.randn(2, 2, 4), torch.randn(2, 4, 2), torch.ones(2, 4, dtype=torch.bool)
    for _ in range(100):  # of the power method
        policy.family.critic(chunk, obs, mask)
    critic = policy.family.critic.eval()
    normalized = [m for m in critic.modules() if hasattr(m, "parametrizations")]
    weights = [getattr(m, name) for m in normalized for name in m.parametrizations]
    norms = [torch.linalg.matrix_norm(weight.flatten(1), 2) for weight in weights]
    torch.testing.assert_close(torch.stack(norms), torch.ones(len(norms)), rtol=0.05, atol=0)
    plain = [n for n, p in critic.named_parameters() if p.dim() > 1 and "position" not in n]
    assert all("parametrizations" in name for name in plain)
    assert not any(hasattr(m, "parametrizations") for m in policy.family.net.modules())


def test_matrices_of_zeros_can_be_normalized():
    net = nn.Linear(3, 3)
    nn.init.zeros_(net.weight)
    normalize_spectrum(net)
    assert net(torch.eye(3)).isfinite().all()


# With the type checker that the tests run under, a wrong literal does not even reach the check.
WRONG = (ValueError, TypeCheckError)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"objective": "wasserstein"}, "r3gan.*non-saturating.*wgan-gp.*hinge"),
        ({"optimizer": "sgd"}, "adam.*cgd"),
        ({"optimizer": "cgd"}, "cgd .* not objective 'r3gan'; choose objective wgan-gp, or optimizer adam"),
        ({"optimizer": "cgd", "objective": "hinge"}, "not objective 'hinge'"),
        ({"optimizer": "cgd", "objective": "wgan-gp", "critic_steps": 2}, "critic_steps"),
        ({"objective": "hinge", "gamma": (1.0, 1.0)}, "hinge has no gamma; .*r3gan, non-saturating, wgan-gp"),
        ({"gamma": (0.1, 0.0)}, "gamma"),
        ({"critic_steps": 0}, "critic_steps 0 must be at least 1"),
        ({"lr": 0.0}, "lr 0.0"),
    ],
)
def test_impossible_configurations(choices, message):
    with pytest.raises(WRONG, match=message):
        GanConfig(**choices)


def two_modes(size, generator):
    """Numbers s o + 0.05 e, with a random sign s and the observation o in [0.3, 1]."""
    obs = 0.3 + 0.7 * torch.rand(size, 1, generator=generator)
    sign = torch.randint(0, 2, (size, 1), generator=generator) * 2.0 - 1
    return obs, sign * obs + 0.05 * torch.randn(size, 1, generator=generator)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_modes_are_kept(objective):
    torch.manual_seed(0)
    shapes, steps, size = {"state": (1,)}, 1500, 4096
    cfg = PolicyConfig(GanConfig(objective), MLPConfig(width=64, depth=2), shapes, 1, 1, 1)
    policy = Policy(cfg, Normalizer({**shapes, "action": (1,)}))
    obs, actions = two_modes(size, torch.Generator().manual_seed(0))
    windows = Windows({"state": obs}, actions, list(range(1, size + 1)), 1, 1)
    state = TrainState(policy, TrainConfig(steps=steps, batch_size=256, amp="off", warmup_steps=100, ema_decay=0.99))
    for state.step in range(steps):
        index = torch.randint(size, (256,), generator=state.generator)
        optimize(state, policy, windows.batch(index), slice(None))
        state.ema.update(state.step)
    obs = torch.tensor([0.3, 0.6, 0.9]).view(3, 1, 1)
    with torch.no_grad():
        chunks = state.ema.module.sample({"state": obs}, 1000, generator=torch.Generator().manual_seed(1))
    ratio = (chunks[:, :, 0, 0] / obs[:, :, 0]).sort(1).values
    up, down = ((ratio - side).abs() * obs[:, :, 0] < 0.2 for side in (1, -1))
    shares = torch.stack([part.float().mean(1) for part in (up, down)])
    assert shares.sum(0).min() > 0.85, shares
    assert shares.min() > 0.25, shares
