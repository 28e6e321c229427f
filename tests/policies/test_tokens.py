import dataclasses
import functools
import math

import pytest
import torch
from jaxtyping import TypeCheckError

from robolearn.data.normalizer import Normalizer
from robolearn.data.windows import Windows
from robolearn.nets.mlp import MLPConfig
from robolearn.policies import tokens
from robolearn.policies.draws import likely, race
from robolearn.policies.family import Chunks, Examples
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.tokens import TokensConfig, calibrated, focal_loss
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit
from robolearn.training.state import TrainState
from robolearn.training.step import optimize

BINS = TokensConfig(num_bins=2, width=16)
VQ = TokensConfig("residual-vq", num_codes=2, width=16)
UNSEEN = pytest.mark.xfail(
    strict=True, reason="padded windows have codes of their own, whose steps past the episode's end nothing trains"
)
SHARE = 0.3  # of the demonstrations that go to +0.5, the others go to -0.5


def demonstrations(episodes=400, seed=0):
    """One observation, two things to do."""
    generator = torch.Generator().manual_seed(seed)
    mode = torch.where(torch.arange(episodes) < SHARE * episodes, 0.5, -0.5)
    actions = mode[:, None] + 0.02 * torch.randn(episodes, 4, generator=generator)
    ends = 4 * torch.arange(1, episodes + 1)
    return Windows({"state": torch.zeros(4 * episodes, 1)}, actions.reshape(-1, 1), ends.numpy(), 1, 4)


def new_state(family, steps=250):
    torch.manual_seed(0)
    shapes = {"state": (1,)}
    cfg = PolicyConfig(family, MLPConfig(width=32, depth=1, dropout=0.0), shapes, 1, 1, 4)
    policy = Policy(cfg, Normalizer({**shapes, "action": (1,)})).train()
    return TrainState(policy, TrainConfig(steps=steps, batch_size=128, lr=3e-3, warmup_steps=20, amp="off"))


@functools.cache
def trained(family):
    state = new_state(family)
    assert fit(state, demonstrations(), None, Processes(torch.device("cpu")), Hooks())
    return state.ema.module


@torch.no_grad()
def samples(policy, n=4000):
    return policy.sample({"state": torch.zeros(1, 1, 1)}, n, generator=torch.Generator().manual_seed(1))[0]


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("family", [BINS, pytest.param(VQ, marks=[pytest.mark.slow, UNSEEN])], ids=lambda f: f.variant)
def test_two_modes_are_drawn_as_often_as_they_were_shown(monkeypatch, family, gamma):
    """4.4 standard errors of 4000 draws (rate 1e-5) plus 0.02 for what training leaves; focal loss alone fails."""
    policy = trained(dataclasses.replace(family, focal_gamma=gamma))
    tolerance = 4.4 * math.sqrt(SHARE * (1 - SHARE) / 4000) + 0.02
    chunks = samples(policy)
    high = (chunks > 0).all(dim=1).float().mean().item()
    assert high == pytest.approx(SHARE, abs=tolerance)
    assert ((chunks.abs() - 0.5).abs() < 0.2).float().mean() > 0.99
    if gamma == 0:
        return
    monkeypatch.setattr(tokens, "calibrated", lambda logits, gamma: logits)
    flatter = (samples(policy) > 0).all(dim=1).float().mean().item()
    assert flatter > SHARE + tolerance


def test_what_training_found_is_saved_and_loaded(tmp_path):
    policy = trained(BINS)
    centers = policy.family.tokenizer.centres
    torch.testing.assert_close(centers.mean((1, 2)).sort().values, torch.tensor([-0.5, 0.5]), rtol=0, atol=0.02)
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path)
    assert torch.equal(loaded.family.tokenizer.centres, centers)
    assert torch.equal(samples(loaded, 10), samples(policy, 10))


def begin(policy, actions, mask=None):
    """Begin with these chunks and observations that say nothing."""
    mask = torch.ones(actions.shape[:2], dtype=torch.bool) if mask is None else mask
    data = Chunks(actions, torch.zeros(len(actions), 1, 1), mask)
    policy.begin("policy", Examples(lambda n: data, len(data)), generator=torch.Generator().manual_seed(0))
    return policy


def bins_of(actions, mask=None):
    return begin(new_state(BINS).policy.family, actions, mask)


def test_padded_chunks_do_not_make_bins():
    actions, mask = (
        demonstrations().batch(torch.arange(0, 1600, 4)).actions.clone(),
        torch.ones(400, 4, dtype=torch.bool),
    )
    mask[::2, 2:] = False
    actions[::2] = 50
    assert bins_of(actions, mask).tokenizer.centres.abs().max() < 1


def test_a_chunk_s_code_counts_as_much_as_it_has_recorded_steps():
    """A quarter of a chunk recorded: a quarter of its code's cross-entropy, as of its offsets'."""
    actions = demonstrations().batch(torch.arange(0, 1600, 4)).actions
    family, cond = bins_of(actions), torch.zeros(1, 1, 1)
    whole, begun = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[True, False, False, False]])
    losses = (family.loss(Chunks(actions[:1], cond, mask), {})[1] for mask in (whole, begun))
    full, quarter = (details["focal"].item() for details in losses)
    assert full > 0
    assert quarter == pytest.approx(full / 4, rel=1e-5)


def test_a_resumed_run_keeps_what_it_found():
    actions = torch.randn(50, 4, 1, generator=torch.Generator().manual_seed(0))
    family = bins_of(actions)
    before = {name: value.clone() for name, value in family.state_dict().items()}
    resumed = begin(new_state(BINS).policy.family, actions + 1)
    resumed.load_state_dict(before)
    begin(resumed, 2 * actions)
    assert all(torch.equal(value, before[name]) for name, value in resumed.state_dict().items())


@pytest.mark.parametrize(("family", "player"), [(BINS, "policy"), (VQ, "quantiser")], ids=["bins", "residual-vq"])
def test_codes_do_not_depend_on_a_place_that_the_observation_tells(family, player):
    """Two shapes at any place: with the place subtracted each has its own code, without it the place decides."""
    generator = torch.Generator().manual_seed(0)
    offset = 2 * torch.rand(600, 1, 1, generator=generator) - 1
    right = torch.arange(600) % 2
    actions = offset + torch.linspace(0, 0.1, 4)[:, None] * (2 * right - 1)[:, None, None]
    policy, mask = new_state(family).policy.family, torch.ones(600, 4, dtype=torch.bool)
    policy.begin(player, Examples(lambda n: Chunks(actions, offset, mask), 600), generator=generator)
    assert policy.anchor.share.item() == pytest.approx(1, abs=1e-3)
    if family is BINS:
        same = (policy.tokenizer.encode(policy.anchor(actions), mask)[:, 0] == right).float().mean()
        assert max(same, 1 - same) == 1
        policy.anchor.share.zero_()
        policy.tokenizer.fit(actions, generator=generator)
        same = (policy.tokenizer.encode(actions, mask)[:, 0] == right).float().mean()
        assert 0.3 < same < 0.7


def test_the_quantiser_leaves_the_encoder_alone():
    """Its loss is of chunks alone, and what it is shown of the observations carries no gradient."""
    policy, seen = new_state(VQ).policy, []
    policy.family.loss = lambda data, draws, *, player: seen.append(data.cond.requires_grad) or (torch.zeros(()), {})
    policy.encode = lambda obs, prefix=None: torch.zeros(2, 1, 1, requires_grad=True)
    batch = demonstrations().batch(torch.arange(2))
    for player in ("quantiser", "policy"):
        policy.loss(batch, {}, player=player)
    assert seen == [False, True]


def test_the_quantiser_rests_while_the_policy_learns():
    state, windows = new_state(VQ, steps=20), demonstrations()
    for state.step, changing in ((0, "tokenizer"), (4, "policy")):
        before = {k: v.clone() for k, v in state.policy.family.state_dict().items()}
        optimize(state, state.policy, windows.batch(torch.arange(128)), slice(0, 128))
        after = state.policy.family.state_dict()
        changed = {
            ("tokenizer" if k.startswith("tokenizer") else "policy") for k in after if (after[k] != before[k]).any()
        }
        assert changed == {changing}


def test_low_temperature_draws_the_likeliest_code_alone(make_policy):
    policy = make_policy(TokensConfig(num_bins=8, width=8))
    many = len(samples_of(policy).unique(dim=0))
    policy.family.reconfigure(temperature=1e-3)
    assert many > 4
    assert len(samples_of(policy).unique(dim=0)) == 1


def samples_of(policy, n=100):
    return policy.sample({"state": torch.ones(1, 2, 4)}, n, generator=torch.Generator().manual_seed(0))[0]


@pytest.mark.parametrize("family", [BINS, VQ], ids=lambda f: f.variant)
def test_the_true_codes_and_their_offset_are_the_chunk(make_policy, family):
    """With the residue as offset and all weight on the true codes, loss and sampling know the chunk exactly."""
    policy = make_policy(family, action_dim=2, action_horizon=4).family
    if family is BINS:
        policy.tokenizer.centres.normal_()
    actions, cond = torch.rand(6, 4, 2) * 2 - 1, torch.zeros(6, 2, 4)
    mask = torch.ones(6, 4, dtype=torch.bool)
    codes = policy.tokenizer.encode(actions, mask)
    logits = 100.0 * torch.nn.functional.one_hot(codes, 2).float()
    policy.logits = lambda features, known: logits[:, : known.shape[1] + 1]
    policy.offset.forward = lambda features, codes: actions - policy.tokenizer.decode(codes)
    loss, details = policy.loss(Chunks(actions, cond, mask), {})
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert details["offset_error"] == pytest.approx(0, abs=1e-6)
    noise = policy.noise(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(policy.sample(cond, noise), actions)
    policy.offset.forward = lambda features, codes: policy.tokenizer.decode(codes) - actions
    assert policy.loss(Chunks(actions, cond, mask), {})[0] > 0.1


LOGITS = torch.tensor([[[1.0, 2.0, -1.0]], [[0.0, 0.0, 3.0]]])
CODES = torch.tensor([[1], [0]])


def test_focal_loss_without_focus_is_cross_entropy():
    expected = torch.nn.functional.cross_entropy(LOGITS[:, 0], CODES[:, 0], reduction="none")
    torch.testing.assert_close(focal_loss(LOGITS, CODES, 0.0)[:, 0], expected)
    assert (focal_loss(LOGITS, CODES, 2.0)[:, 0] < expected).all()


def test_focal_loss_weighs_by_what_is_missing():
    p = LOGITS.softmax(2).gather(2, CODES[:, :, None])[:, :, 0]
    torch.testing.assert_close(focal_loss(LOGITS, CODES, 2.0), -((1 - p) ** 2) * p.log())


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_calibration_undoes_what_focal_loss_does_to_probabilities(gamma):
    """Against a numerical minimum of the expected loss."""
    q = torch.tensor([[0.6, 0.25, 0.1, 0.05]], dtype=torch.float64)
    logits = q.log().requires_grad_()
    optimizer = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def expected():
        optimizer.zero_grad()
        log_p = logits.log_softmax(1)
        loss = -(q * (1 - log_p.exp()) ** gamma * log_p).sum()
        loss.backward()
        return loss

    optimizer.step(expected)
    minimum = logits.detach().float()
    torch.testing.assert_close(calibrated(minimum, gamma).softmax(1), q.float(), rtol=0, atol=1e-4)
    assert (minimum.softmax(1) - q).abs().max() > 0.01  # without it they would be wrong


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_race_draws_codes_as_often_as_they_are_likely(temperature):
    """Five standard errors of 20,000 draws: rate 1e-6."""
    n, p = 20_000, torch.tensor([0.1, 0.2, 0.0, 0.7])
    noise = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    shares = race(p.log().expand(n, 4) / temperature, noise).bincount(minlength=4) / n
    wanted = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    assert ((shares - wanted).abs() <= 5 * (wanted * (1 - wanted) / n).sqrt()).all()


@pytest.mark.parametrize(
    ("floor", "admitted"),
    [(0.0, [0, 1, 2, 3]), (0.15, [1, 3]), (0.2, [1, 3]), (0.21, [3]), (0.8, [3])],
)
def test_codes_below_the_floor_are_never_drawn(floor, admitted):
    """Of 20,000 draws; a floor that none reaches leaves the likeliest."""
    logits = torch.tensor([[0.05, 0.2, 0.05, 0.7]], dtype=torch.float64).log().expand(20_000, 4)
    noise = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0))
    assert race(likely(logits, floor), noise).unique().tolist() == admitted


@pytest.mark.parametrize("family", [BINS, VQ], ids=lambda f: f.variant)
def test_a_policy_leaves_codes_below_the_floor_out(make_policy, family):
    """The floor is of the probabilities with which codes are drawn, so that the temperature moves it."""
    policy = make_policy(dataclasses.replace(family, num_bins=8, num_codes=8, num_levels=1, width=8))
    many = len(samples_of(policy).unique(dim=0))
    p = policy.family.drawn(policy.family.logits(features_of(policy), torch.zeros(1, 0, dtype=torch.long))[:, 0])
    floor = p.softmax(1).sort().values[0, -3:-1].mean().item()
    policy.family.reconfigure(min_code_probability=floor)
    assert many > 4
    assert len(samples_of(policy).unique(dim=0)) == 2
    policy.family.reconfigure(temperature=100.0)  # all about as probable as any: no code reaches the floor
    assert len(samples_of(policy).unique(dim=0)) == 1


def features_of(policy):
    return policy.family.features(policy.encode({"state": torch.ones(1, 2, 4)}))


def test_kept_noise_keeps_preferring_the_same_code():
    """Logits that move a little from chunk to chunk change few choices, and none where they only grow alike."""
    noise = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    logits = torch.randn(2000, 8, generator=torch.Generator().manual_seed(1))
    code = race(logits, noise)
    assert (race(logits + 3, noise) == code).all()
    moved = race(logits + 0.1 * torch.randn(2000, 8, generator=torch.Generator().manual_seed(2)), noise)
    assert (moved == code).float().mean() > 0.9


def test_calibration_keeps_the_order_and_what_is_certain():
    logits = torch.tensor([[0.0, 0.1, 50.0], [3.0, 2.0, 1.0]])
    probabilities = calibrated(logits, 2.0).softmax(1)
    assert probabilities.isfinite().all()
    assert probabilities[0, 2] == pytest.approx(1)
    assert (probabilities[1].diff() < 0).all()
    torch.testing.assert_close(calibrated(logits, 0.0).softmax(1), logits.softmax(1))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"variant": "vae"}, "bins.*residual-vq"),
        ({"num_bins": 1}, "num_bins and num_codes must be at least 2"),
        ({"num_levels": 0}, "num_levels at least 1"),
        ({"quantiser_share": 1.0}, r"quantiser_share 1\.0 must be in \(0, 1\)"),
        ({"width": 30}, "width 30 must be a multiple of 4"),
        ({"focal_gamma": -1.0}, r"focal_gamma -1\.0 must not be negative"),
        ({"temperature": 0.0}, r"temperature 0\.0 above 0"),
        ({"min_code_probability": -0.1}, r"min_code_probability -0\.1 must be in \[0, 1\)"),
        ({"min_code_probability": 1.0}, r"min_code_probability 1\.0 must be in \[0, 1\)"),
        ({"min_code_probability": float("nan")}, "min_code_probability nan must be in"),
    ],
)
def test_impossible_configurations(choices, message):
    with pytest.raises((ValueError, TypeCheckError), match=message):
        TokensConfig(**choices)
