"""The stages of distillation, each against what it should learn."""

import dataclasses
import math

import pytest
import torch
from jaxtyping import TypeCheckError

from robolearn.data.normalizer import Normalizer
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.codes import balanced, squared_distances
from robolearn.policies.family import Chunks, Examples
from robolearn.policies.mixture import Mixture, MixtureConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.score import ScoreConfig

SMALL = MixtureConfig(num_codes=8, num_observations=64, pairs=8, teacher=ScoreConfig(steps=8))


def two_modes(policy):
    """Replace the teacher's equation by one whose answer is known: the sign of the noise's sum decides the mode."""

    def integrate(cond, noise):
        sign = torch.where(noise.sum((1, 2), keepdim=True) > 0, 1.0, -1.0)
        return 0.5 * sign + 0.02 * noise

    policy.family.teacher.integrate = integrate
    return policy


def train(family, player, steps, lr=3e-3, num_conditions=64):
    def examples(n):
        cond = torch.rand(num_conditions, 1, 1, generator=torch.Generator().manual_seed(0))
        return Chunks(torch.zeros(num_conditions, 4, 1), cond, torch.ones(num_conditions, 4).bool())[:n]

    generator = torch.Generator().manual_seed(1)
    family.begin(player, Examples(examples, num_conditions), generator=generator)
    optimizer = torch.optim.AdamW(family.players()[player].module.parameters(), lr=lr)
    nothing = Chunks(torch.zeros(128, 4, 1), torch.zeros(128, 1, 1), torch.ones(128, 4).bool())
    for step in range(steps):
        draws = family.draws(128, generator=generator, player=player, progress=step / steps)
        loss, details = family.loss(nothing, draws, player=player)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return details


@pytest.fixture
def policy():
    def make(cfg=SMALL, seed=0):
        torch.manual_seed(seed)
        shapes = {"state": (1,)}
        cfg = PolicyConfig(cfg, MLPConfig(width=32, depth=1), shapes, 1, 1, 4)
        return two_modes(Policy(cfg, Normalizer({**shapes, "action": (1,)})))

    return make


def samples(policy, n=2000):
    return policy.sample({"state": torch.full((1, 1, 1), 0.5)}, n, generator=torch.Generator().manual_seed(2))[0]


@pytest.mark.slow
def test_the_student_follows_the_teacher_and_leaves_no_bridge(policy):
    """Share of a mode within 5 standard errors, plus 0.03 for what the selector does not learn."""
    policy = policy()
    train(policy.family, "codes", 300)
    assert train(policy.family, "policy", 600)["codes_right"] > 0.9
    chunks = samples(policy).detach()
    near = [((chunks - mode).abs() < 0.2).all(2).all(1).float().mean().item() for mode in (-0.5, 0.5)]
    assert sum(near) > 0.995
    assert near[0] == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2000) + 0.03)


@pytest.mark.slow
def test_plain_codes_follow_the_teachers_weights(policy):
    policy = policy(dataclasses.replace(SMALL, variant="plain"))
    train(policy.family, "codes", 600)
    chunks = samples(policy).detach()
    near = [((chunks - mode).abs() < 0.2).all(2).all(1).float().mean().item() for mode in (-0.5, 0.5)]
    assert sum(near) > 0.97
    assert near[0] == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2000) + 0.03)


def test_pairs_are_labeled_with_their_nearest_code(policy):
    family = policy().family

    def examples(n):
        return Chunks(torch.zeros(n, 4, 1), torch.rand(n, 1, 1), torch.ones(n, 4).bool())

    family.begin("policy", Examples(examples, 6_000), generator=torch.Generator().manual_seed(0))
    bank = family.bank
    assert torch.equal(bank.chunks.flatten(0, 1), family.teacher.integrate(None, bank.noise.flatten(0, 1)))
    centers = family.codes(bank.cond)[1]
    for row, pair in ((0, 0), (3, 5), (63, 7)):
        distance = (bank.chunks[row, pair] - centers[row]).square().mean((1, 2))
        assert bank.codes[row, pair] == distance.argmin()


def test_squared_distances():
    x, y = torch.randn(2, 3, 4, 2), torch.randn(2, 5, 4, 2)
    expected = (x[:, :, None] - y[:, None]).square().mean((3, 4))
    torch.testing.assert_close(squared_distances(x, y), expected)


def test_squared_distances_do_not_lose_digits_to_autocast():
    x = torch.randn(2, 3, 16, 2)
    y = x[:, [0, 1, 2, 0]] + 0.03 * torch.randn(2, 4, 16, 2)
    with torch.autocast("cpu", torch.bfloat16):
        distance = squared_distances(x, y)
    torch.testing.assert_close(distance, squared_distances(x, y))


def test_balancing_gives_every_code_its_share_and_every_chunk_one_code():
    logits = 3 * torch.randn(8, 16, 4, generator=torch.Generator().manual_seed(0))
    logits[:, :, 0] += 8  # it would win everywhere
    weight = balanced(logits)
    torch.testing.assert_close(weight.sum(2), torch.ones(8, 16))
    assert logits.softmax(2).mean((0, 1))[0] > 0.85
    assert weight.mean((0, 1)).sub(0.25).abs().max() < 0.1
    # Among codes that weigh alike, the nearer one still wins.
    far, near = logits[:, :, 1:].argmin(2, keepdim=True) + 1, logits[:, :, 1:].argmax(2, keepdim=True) + 1
    assert (weight.gather(2, near) > weight.gather(2, far)).float().mean() > 0.95


@pytest.mark.slow
def test_codes_survive_where_chunks_lie_close_together(policy):
    """Temperatures that are not in units of the variance, or unbalanced winners, leave few codes in use.

    Means of twelve first weights: 9.4 of 16 are in use, with a standard error of 1; without those units 5.7 with one
    of 0.3, without balance 1.3. A single training has 3 to 13, and comes out differently after any change of rounding:
    then one in a hundred such means lies below 7.
    """
    used = []
    for seed in range(12):
        family = policy(dataclasses.replace(SMALL, num_codes=16), seed).family
        family.teacher.integrate = lambda cond, noise: 0.3 * cond[:, :1, :1] + 0.03 * noise[:, :1, :1].expand_as(noise)
        used.append(train(family, "codes", 600, lr=1e-3)["codes_used"])
    assert torch.stack(used).mean() > 7


def test_winner_takes_all_hardens_with_time(policy):
    family = policy().family
    family.bank = object.__new__(type("Bank", (), {"cond": torch.zeros(3, 1, 1)}))
    temperatures = [
        family.draws(2, generator=torch.Generator().manual_seed(0), player="codes", progress=p)["temperature"][0].item()
        for p in (0.0, 0.25, 0.5, 0.9)
    ]
    assert temperatures == pytest.approx([1.0, 0.2**0.5, 0.2, 0.2])


def test_stages_follow_one_another(policy):
    spans = {name: player.span for name, player in policy().family.players().items()}
    assert spans == {"teacher": (0.0, 0.65), "codes": (0.65, 0.65 + 0.05), "policy": (0.65 + 0.05, 1.0)}
    plain = policy(dataclasses.replace(SMALL, variant="plain")).family.players()
    assert {name: player.span for name, player in plain.items()} == {"teacher": (0.0, 0.65), "codes": (0.65, 1.0)}


def test_a_chunk_jumps_where_its_code_does(policy):
    """The decoder is smooth; two noises on both sides of the selector's border differ by a code's worth."""
    family = policy().family
    codes = torch.tensor([0, 1])
    cond, noise = torch.zeros(2, 1, 1), torch.zeros(2, 4, 1)
    one, other = family.student.decode(cond, noise, codes)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"variant": "soft"}, "hard-code.*plain"),
        ({"teacher_share": 0.95, "codes_share": 0.1}, "leave a share for the student"),
        ({"temperature": 0.5}, "temperature is of variant plain"),
        ({"min_code_probability": 0.1}, "min_code_probability is of variant plain"),
        ({"min_code_probability": 1.0, "variant": "plain"}, r"min_code_probability 1\.0 must be in \[0, 1\)"),
        ({"teacher": ScoreConfig(sampler="langevin")}, "choose heun or euler"),
        ({"num_codes": 1}, "num_codes must be at least 2"),
        ({"obs_jitter": -1.0}, "obs_jitter -1.0 must not be negative"),
    ],
)
def test_impossible_configurations(choices, message):
    with pytest.raises((ValueError, TypeCheckError), match=message):
        MixtureConfig(**choices)


def test_who_samples_is_a_run_time_choice(policy):
    family = policy().family
    assert isinstance(family, Mixture)
    assert family.nfe == 1
    family.reconfigure(sampler="teacher")
    assert family.nfe == 15
    noise = family.noise(3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(family.sample(torch.zeros(3, 1, 1), noise), family.teacher.integrate(None, noise))


def test_the_distribution_is_that_of_the_samples(policy):
    """Shares of 4,000 samples within 5 standard errors of their probabilities, however rare codes are treated."""
    made = policy(dataclasses.replace(SMALL, variant="plain", num_codes=4))
    for parameter in made.parameters():  # or all codes would be alike
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    cond, distributions = made.encode({"state": torch.full((1, 1, 1), 0.5)}), []
    for temperature, floor in ((1.0, 0.0), (0.3, 0.0), (1.0, 0.2)):
        made.family.reconfigure(temperature=temperature, min_code_probability=floor)
        chunks, probabilities = made.family.distribution(cond)
        drawn = made.family.sample(
            cond.expand(4000, -1, -1), made.family.noise(4000, generator=torch.Generator().manual_seed(2))
        )
        nearest = squared_distances(drawn[None], chunks)[0]
        assert nearest.min(1).values.max() < 1e-6
        shares = nearest.argmin(1).bincount(minlength=4) / 4000
        assert (shares - probabilities[0]).abs().max() < 5 * 0.5 / math.sqrt(4000)
        distributions.append(probabilities[0])
    assert (distributions[0] - distributions[1]).abs().max() > 0.1  # the temperature counts
    rare = (distributions[0] < 0.2) & (distributions[0] < distributions[0].max())
    assert rare.any()
    assert ((distributions[2] == 0) == rare).all()
    torch.testing.assert_close(distributions[2][~rare], distributions[0][~rare] / distributions[0][~rare].sum())


@pytest.mark.parametrize(("variant", "sampler"), [("hard-code", "student"), ("plain", "teacher")])
def test_what_varies_with_the_noise_is_not_finite(policy, variant, sampler):
    made = policy(dataclasses.replace(SMALL, variant=variant, sampler=sampler))
    with pytest.raises(ValueError, match="no finite distribution; variant plain with sampler student"):
        made.family.distribution(made.encode({"state": torch.zeros(1, 1, 1)}))
