import pytest
import torch

from robolearn.policies import tokenizers
from robolearn.policies.tokenizers import Bins, ResidualVQ

MODES = torch.tensor([[-0.8, -0.8], [-0.8, 0.8], [0.8, -0.8], [0.8, 0.8]])


def clusters(n=400, horizon=3, seed=0):
    """Chunks near four points, and which."""
    generator = torch.Generator().manual_seed(seed)
    mode = torch.randint(4, (n,), generator=generator)
    return MODES[mode][:, None] + 0.05 * torch.randn(n, horizon, 2, generator=generator), mode


def fitted(chunks, num_bins=4, seed=0):
    bins = Bins(num_bins, (3, 2))
    bins.fit(chunks, generator=torch.Generator().manual_seed(seed))
    return bins


def test_bins_are_the_clusters_of_the_data():
    actions, mode = clusters()
    bins = fitted(actions)
    codes = bins.encode(actions, torch.ones(400, 3, dtype=torch.bool))
    for code in range(4):
        members = actions[codes[:, 0] == code]
        assert len(mode[codes[:, 0] == code].unique()) == 1
        torch.testing.assert_close(bins.centres[code], members.mean(0), rtol=0, atol=1e-5)
    torch.testing.assert_close(bins.decode(codes), MODES[mode][:, None].expand(-1, 3, -1), rtol=0, atol=0.3)


def test_a_padded_chunk_belongs_to_the_bin_of_its_valid_steps():
    bins = Bins(4, (3, 2))
    bins.centres.copy_(MODES[:, None].expand(4, 3, 2))
    actions = bins.centres.clone()
    actions[:, 1:] = -actions[:, 1:]
    first_only, everything = torch.tensor([[True, False, False]]).expand(4, 3), torch.ones(4, 3, dtype=torch.bool)
    assert bins.encode(actions, first_only)[:, 0].tolist() == [0, 1, 2, 3]
    assert bins.encode(actions, everything)[:, 0].tolist() == [3, 2, 1, 0]


def test_bins_are_the_same_every_time():
    actions, _ = clusters()
    assert torch.equal(fitted(actions, 7).centres, fitted(actions, 7).centres)


def test_too_few_chunks_for_the_bins():
    with pytest.raises(ValueError, match="tokens: 3 chunks without padding are too few for 4 bins"):
        fitted(clusters(3)[0])


def train(num_levels, num_codes=8, steps=120, seed=0):
    """A quantizer of chunks with a coarse and a fine part."""
    torch.manual_seed(seed)
    quantizer = ResidualVQ(num_levels, num_codes, (3, 2)).train()
    optimizer = torch.optim.AdamW(quantizer.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        loss, _ = quantizer.loss(fine(64, generator), torch.ones(64, 3, dtype=torch.bool))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return quantizer.eval()


def fine(n, generator):
    """One of four points, plus one of four smaller steps."""
    parts = MODES[torch.randint(4, (2, n), generator=generator)]
    return (parts[0] + 0.2 * parts[1])[:, None].expand(n, 3, 2)


def reconstruction_error(quantizer, levels):
    actions = fine(500, torch.Generator().manual_seed(9))
    codes = quantizer.encode(actions, torch.ones(500, 3, dtype=torch.bool))
    return (quantizer.decode(codes[:, :levels]) - actions).square().mean().item()


def test_the_second_level_improves_the_reconstruction():
    two, one = train(2), train(1)
    assert reconstruction_error(two, 2) < 0.25 * reconstruction_error(two, 1)
    assert reconstruction_error(two, 2) < 0.25 * reconstruction_error(one, 1)


def test_quantizing_is_exact_on_its_own_codes():
    quantizer = ResidualVQ(2, 4, (3, 2))
    quantizer.codebooks[1] *= 0.01
    codes = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    assert torch.equal(quantizer.quantize(quantizer.embed(codes)), codes)


@pytest.mark.parametrize("reseeding", [True, False])
def test_dead_codes_are_seeded_again(monkeypatch, reseeding):
    """Of a codebook whose entries but one are far away all are used again in the end, and only by seeding."""
    if not reseeding:
        monkeypatch.setattr(tokenizers, "DEAD", 0.0)
    quantizer = ResidualVQ(2, 4, (3, 2))
    quantizer.codebooks[:, 1:] += 100
    quantizer.usage.fill_(0.25)
    latent = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    assert quantizer.quantize(latent).unique().tolist() == [0]
    for _ in range(100):  # until the old use is forgotten, 0.95^n < 0.01
        quantizer.update(latent)
    used = [len(level.unique()) for level in quantizer.quantize(latent).unbind(1)]
    assert used == ([4, 4] if reseeding else [1, 1])
    assert bool((quantizer.usage > 0.01).all()) == reseeding


def test_codes_move_to_the_mean_of_what_chose_them():
    quantizer = ResidualVQ(1, 2, (3, 2))
    quantizer.codebooks[0], quantizer.usage[0] = torch.tensor([[-1.0], [1.0]]).expand(2, 16), torch.tensor([0.5, 0.5])
    latent = torch.tensor([-1.2, -0.8, 1.1, 1.3])[:, None].expand(4, 16)
    for _ in range(300):
        quantizer.update(latent)
    torch.testing.assert_close(quantizer.codebooks[0, :, 0], torch.tensor([-1.0, 1.2]), rtol=0, atol=1e-4)
    torch.testing.assert_close(quantizer.usage[0], torch.tensor([0.5, 0.5]))


def test_padded_steps_of_a_chunk_do_not_count():
    quantizer, actions = train(2, steps=0), clusters(6)[0]
    mask = torch.tensor([[True, True, False]]).expand(6, 3)
    other = actions.clone()
    other[:, 2] = 7.0
    assert torch.equal(quantizer.encode(actions, mask), quantizer.encode(other, mask))
    assert torch.equal(quantizer.loss(actions, mask)[0], quantizer.loss(other, mask)[0])
    everything = torch.ones(6, 3, dtype=torch.bool)
    assert quantizer.loss(other, everything)[0] > 2 * quantizer.loss(actions, everything)[0]


def test_codebooks_move_in_training_only():
    quantizer, actions = train(1, steps=0), clusters(6)[0]
    for training in (False, True):
        before = quantizer.codebooks.clone()
        quantizer.train(training).loss(actions, torch.ones(6, 3, dtype=torch.bool))
        assert torch.equal(before, quantizer.codebooks) != training
