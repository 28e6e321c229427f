"""What each method's loss is, and that it learns."""

import math

import pytest
import torch
from torch import nn

from robolearn.representation.contrastive import ContrastiveConfig, info_nce
from robolearn.representation.decoder import Decoder
from robolearn.representation.masked import MaskedConfig, covered
from robolearn.representation.method import Pairs, levels, pixels
from robolearn.representation.registry import METHODS, find_method
from robolearn.representation.vae import VAEConfig, divergence, draw
from tests.representation.conftest import SMALL

SHAPE = (13, 22, 3)


def images(count=6, shape=SHAPE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def apart(count):
    return torch.eye(count, dtype=torch.bool)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_method_takes_any_image(name, channels):
    """Loss, gradients to the network, and what is shown."""
    torch.manual_seed(0)
    shape = (13, 22, channels)
    network, method = SMALL.build(channels), METHODS[name]().build(SMALL, shape)
    loss = method.loss(network, images(shape=shape), apart(6), generator())
    loss.backward()
    assert loss.shape == ()
    assert all(parameter.grad is not None for parameter in network.parameters())
    shown = method.show(network, images(2, shape), images(5, shape), generator())
    assert shown
    assert all(value.shape == (2, *shape) and value.dtype == torch.uint8 for value in shown.values())


@pytest.mark.parametrize("shape", [(13, 22, 3), (8, 8, 1), (2, 33, 4)])
def test_a_decoder_gives_images_of_any_size(shape):
    assert Decoder(5, shape)(torch.zeros(2, 5)).shape == (2, *shape)


def test_pixels_and_levels_are_inverses():
    levels_of_all = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    assert torch.equal(levels(pixels(levels_of_all)), levels_of_all)
    assert pixels(levels_of_all).min() == -1


def test_the_network_sees_pixels_as_the_methods_do():
    """What a decoder aims at is what the cameras' network takes in."""
    network, seen = SMALL.build(3), []
    network.trunk.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(images())
    torch.testing.assert_close(seen[0], pixels(images()).movedim(3, 1))


class Known(nn.Module):
    """A decoder or network that gives what it is told to."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value if self.value.shape[0] == len(x) else self.value.expand(len(x), *self.value.shape[1:])


def test_a_masked_loss_is_of_hidden_pixels_alone():
    method = MaskedConfig(patch=4, hidden=0.5).build(SMALL, SHAPE)
    hidden = method.hide(6, generator())
    wrong = pixels(images()).clone()
    wrong[~hidden] += 5.0
    method.decoder = Known(wrong)
    assert method.loss(SMALL.build(3), images(), apart(6), generator()) == 0
    wrong[hidden] += 0.5
    torch.testing.assert_close(
        method.loss(SMALL.build(3), images(), apart(6), generator()), torch.tensor(0.25), rtol=1e-4, atol=0
    )


def test_the_network_does_not_see_what_is_hidden():
    hidden = MaskedConfig(patch=4).build(SMALL, SHAPE).hide(6, generator())
    others = torch.where(hidden[..., None], images(seed=1), images())
    assert torch.equal(covered(others, hidden), covered(images(), hidden))
    assert (pixels(covered(images(), hidden))[hidden] == 0).all()


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.5, 12), (0.99, 23)])
def test_whole_patches_are_hidden_equally_many_of_each_image(share, count):
    """Of 4 x 6 patches; at the lower and right end they are smaller, so those are counted by their first pixel."""
    hidden = MaskedConfig(patch=4, hidden=share).build(SMALL, SHAPE).hide(50, generator())
    assert hidden.shape == (50, 13, 22)
    assert (hidden[:, ::4, ::4].sum((1, 2)) == count).all()
    assert torch.equal(hidden, hidden[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :13, :22])
    assert len(hidden.unique(dim=0)) > 10


def test_the_divergence_is_torchs():
    mean, log_variance = torch.randn(5, 3, generator=generator()), torch.randn(5, 3, generator=generator(1))
    ours = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    theirs = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    wanted = torch.distributions.kl_divergence(ours, theirs).sum(1)
    torch.testing.assert_close(divergence(mean, log_variance), wanted)


def test_samples_have_the_mean_and_the_variance():
    """Of 20000 draws; 5 standard errors of a mean are 0.035 standard deviations."""
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2 * math.log(0.1)]])
    drawn = draw(mean.expand(20_000, 2), log_variance.expand(20_000, 2), generator())
    torch.testing.assert_close(drawn.mean(0), mean[0], atol=0.035, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.tensor([1.0, 0.1]), atol=0, rtol=0.03)


def test_the_weight_of_the_divergence_is_per_pixel():
    features = torch.full((6, 8), 2.0)
    losses = []
    for weight in (0.0, 0.5):
        torch.manual_seed(0)
        method = VAEConfig(kl_weight=weight).build(SMALL, SHAPE)
        method.decoder = Known(pixels(images()))
        losses.append(method.loss(Known(features), images(), apart(6), generator()))
    spread = method.spread(features)
    assert losses[0] == 0
    torch.testing.assert_close(losses[1], 0.5 * divergence(features, spread).mean() / (13 * 22 * 3))


def naive_info_nce(views, near, temperature):
    """View by view."""
    total = 0.0
    for i, view in enumerate(views):
        partner = i + 1 if i % 2 == 0 else i - 1
        similar = [torch.cosine_similarity(view, other, 0) / temperature for other in views]
        among = [j for j in range(len(views)) if j == partner or not near[i, j]]
        total += -(similar[partner] - torch.stack([similar[j] for j in among]).logsumexp(0))
    return total / len(views)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_info_nce_is_the_naive_one(temperature):
    views = torch.randn(8, 4, generator=generator())
    near = torch.eye(8, dtype=torch.bool)
    near[:2, :2] = True  # partners are near each other, which makes them no less partners
    near[0, 5] = near[5, 0] = True  # no negatives
    torch.testing.assert_close(info_nce(views, near, temperature), naive_info_nce(views, near, temperature))


def test_info_nce_of_chance_and_of_perfection():
    assert info_nce(torch.ones(8, 4), apart(8), 1.0) == pytest.approx(math.log(7))
    told = torch.eye(4).repeat_interleave(2, 0)
    assert info_nce(told, apart(8), 0.05) < 1e-6


def test_the_nearest_frames_are_the_nearest():
    method = ContrastiveConfig().build(SMALL, SHAPE)
    gallery = images(5)
    network = SMALL.build(3)
    shown = method.show(network, gallery[[3, 1]], gallery, generator())
    assert torch.equal(shown["nearest 1"], gallery[[3, 1]])
    assert len(shown) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VAEConfig(kl_weight=-1.0), "`kl_weight` -1 must be a number, at least 0"),
        (lambda: ContrastiveConfig(within=-1), "`within` -1 must be at least 0"),
        (lambda: ContrastiveConfig(temperature=0.0), "`temperature` 0 must be above 0"),
        (lambda: MaskedConfig(patch=0), "`patch` 0 must be at least 1"),
        (lambda: MaskedConfig(hidden=1.0), r"`hidden` 1 must be in \(0, 1\)"),
        (lambda: MaskedConfig(patch=32).build(SMALL, SHAPE), "`patch` 32 makes one patch of an image of 13x22"),
        (lambda: find_method("jepa"), "`method` jepa: choose from autoencoder, vae, contrastive, masked"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_two_views_that_are_the_same_are_refused():
    still = type(SMALL)(shift=0, jitter=0.0)
    with pytest.raises(ValueError, match="two views of a frame are the same"):
        ContrastiveConfig().build(still, SHAPE)
    ContrastiveConfig(within=2).build(still, SHAPE)


def test_frames_near_in_time_are_told_from_others_of_their_episode():
    assert ContrastiveConfig(within=2).pairs == Pairs(2, 4)
    assert ContrastiveConfig().pairs == Pairs(0)
