import dataclasses

import pytest
import torch

from robolearn.data.symmetry import AffineMap, Symmetry
from robolearn.policies.chunk_frame import FRAMES
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.policy import Policy
from robolearn.trust.scores import samples as scores
from robolearn.trust.scores.exact import (
    admissible_mass,
    exact_action_entropy,
    exact_energy_disagreement,
    finite_distribution,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def finite(k, b, num_chunks=6, seed=0):
    """Chunks and probabilities; with some chunks alike, so that bins and distances meet ties."""
    chunks = torch.randn(k, b, num_chunks, 4, 2, generator=generator(seed))
    chunks[:, :, 1] = chunks[:, :, 0]
    return chunks, torch.randn(k, b, num_chunks, generator=generator(seed + 1)).softmax(2)


def draw(chunks, probabilities, n, seed=2):
    """n samples of each of any leading axes."""
    rows = torch.multinomial(probabilities.flatten(0, -2), n, replacement=True, generator=generator(seed))
    picked = chunks.flatten(0, -4)[torch.arange(len(rows))[:, None], rows]
    return picked.view(*probabilities.shape[:-1], n, *chunks.shape[-2:])


def errors(exact, sampled, chunks, probabilities, n):
    return sampled(draw(chunks, probabilities, n)) - exact(chunks, probabilities)


@pytest.mark.long
def test_disagreement_of_samples_converges_to_it():
    """Unbiased: the mean error over 60 observations within 4 standard errors, at 16 samples and at 512."""
    pair = finite(3, 60)
    few, many = (errors(exact_energy_disagreement, scores.energy_disagreement, *pair, n) for n in (16, 512))
    for error in (few, many):
        assert abs(error.mean()) < 4 * error.std() / 60**0.5
    assert many.std() < 0.3 * few.std()  # sqrt(16 / 512) is 0.18
    assert many.std() < 0.05 * exact_energy_disagreement(*pair).mean()


@pytest.mark.long
def test_disagreement_with_equal_weights_instead_is_another():
    chunks, probabilities = finite(3, 60)
    even = exact_energy_disagreement(chunks, torch.full_like(probabilities, 1 / 6))
    difference = scores.energy_disagreement(draw(chunks, probabilities, 512)) - even
    assert difference.abs().mean() > 0.1 * even.mean()


def test_disagreement_by_the_definition():
    chunks, p = finite(2, 3)

    def apart(i, j):
        distance = (chunks[i][:, :, None] - chunks[j][:, None]).square().mean((3, 4)).sqrt()
        return torch.einsum("bx,bxy,by->b", p[i], distance, p[j])

    torch.testing.assert_close(exact_energy_disagreement(chunks, p), 2 * apart(0, 1) - apart(0, 0) - apart(1, 1))


def test_members_that_are_alike_do_not_disagree():
    chunks, p = finite(1, 5)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    alike = exact_energy_disagreement(torch.cat([chunks, chunks[:, :, order]]), torch.cat([p, p[:, :, order]]))
    assert alike.max() < 1e-6
    with pytest.raises(ValueError, match="at least 2 members, got 1"):
        exact_energy_disagreement(chunks, p)


def test_entropy_of_as_many_samples_as_the_probabilities_say():
    """Probabilities of eighths: eight samples in these numbers have the very histogram."""
    chunks = finite(1, 5, 4)[0][0]
    times = torch.tensor([3, 1, 2, 2])
    entropy = exact_action_entropy(chunks, (times / 8).expand(5, 4), 0.5)
    torch.testing.assert_close(entropy, scores.action_entropy(chunks.repeat_interleave(times, 1), 0.5))


def test_entropy_of_samples_converges_to_it():
    chunks, p = (x[0] for x in finite(1, 20))
    few, many = (errors(exact_action_entropy, scores.action_entropy, chunks, p, n).abs().mean() for n in (16, 512))
    assert many < 0.3 * few
    assert many < 0.03 * exact_action_entropy(chunks, p).mean()


def test_entropy_does_not_count_chunks_that_are_alike():
    chunks, none = torch.full((1, 4, 2, 1), 0.05), torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    assert exact_action_entropy(chunks, torch.full((1, 4), 0.25)).item() == pytest.approx(0, abs=1e-9)
    chunks[:, 1:] = 0.55
    assert exact_action_entropy(chunks, none).item() == pytest.approx(2 * torch.tensor(2.0).log().item())


def test_mass_of_admissible_chunks():
    p = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    admissible = torch.tensor([[True, False, True], [False, True, True]])
    torch.testing.assert_close(admissible_mass(p, admissible), torch.tensor([0.7, 0.0]))


@pytest.mark.parametrize("frame", ["absolute", *FRAMES])
@pytest.mark.parametrize("use", ["ignore", "canonical"])
def test_what_a_policy_samples_is_what_its_distribution_holds(make_policy, frame, use):
    """In physical units, whatever the family learns them in: all chunks occur, and as often as it says."""
    plain = make_policy(MixtureConfig(variant="plain", num_codes=3, sampler="student"), chunk_frame=frame)
    mirror = AffineMap(((-1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
    rows = tuple(tuple(row) for row in torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0])).tolist())
    symmetry = Symmetry({"state": AffineMap(rows, (0.0,) * 4), "action": mirror}, order=2)
    policy = Policy(dataclasses.replace(plain.cfg, symmetry=symmetry, symmetry_use=use), plain.normalizer)
    policy.load_state_dict(plain.state_dict())
    obs = {"state": torch.randn(5, 2, 4, generator=generator())}
    chunks, probabilities = finite_distribution(policy.eval(), obs)
    samples = policy.sample(obs, 400, generator=generator(1))
    apart = (samples[:, :, None] - chunks[:, None]).abs().amax((3, 4))  # [b, n, K]
    assert apart.amin(2).max() < 1e-5
    shares = torch.nn.functional.one_hot(apart.argmin(2), 3).float().mean(1)
    torch.testing.assert_close(shares, probabilities, atol=0.12, rtol=0)  # 4.8 standard deviations
