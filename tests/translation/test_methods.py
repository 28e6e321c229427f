"""What each method's losses are."""

import math

import pytest
import torch
from torch import nn

from robolearn.translation.cut import CutConfig, patch_nce
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.method import check_shape, least_squares
from robolearn.translation.networks import Generator
from robolearn.translation.registry import TRANSLATIONS, find_translation

SHAPE = (32, 32, 3)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=2, seed=0):
    return torch.rand(count, 3, 32, 32, generator=random(seed)) * 2 - 1


def both(count=2):
    return {"source": images(count), "target": images(count, 1)}


def build(cfg):
    torch.manual_seed(0)
    return cfg.build(SHAPE)


class Same(Generator):
    """Leaves images as they are, or turns them about gray; its maps are blocks of pixels."""

    def __init__(self, factor=1.0):
        super().__init__([], nn.Identity(), 1)
        self.factor = factor

    def forward(self, images):
        return self.factor * images

    def features(self, images):
        return [nn.functional.pixel_unshuffle(images, 4)]


class Scores(nn.Module):
    """A critic that is sure."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value + 0 * x.mean((1, 2, 3))


@pytest.mark.parametrize("name", TRANSLATIONS)
@pytest.mark.parametrize("networks", ["resnet", "dcgan"])
def test_each_player_moves_its_own_weights(name, networks):
    method = build(TRANSLATIONS[name](networks=networks, width=8, blocks=2))
    made = method.generator_loss(both(), random())
    made.loss.backward()
    assert all(p.grad is not None for p in method.makers())
    assert all(p.grad is None and p.requires_grad for p in method.critics.parameters())
    assert set(made.images) == set(method.generators)
    assert not any(one.requires_grad for one in made.images.values())
    method.zero_grad()
    method.critic_loss(both(), made.images, random()).backward()
    assert all(p.grad is not None for p in method.critics.parameters())
    assert all(p.grad is None for p in method.makers())


def test_cycle_and_identity_vanish_where_nothing_is_translated():
    method = build(CycleGANConfig("dcgan", 8))
    method.generators = nn.ModuleDict({"target": Same(), "source": Same()})
    made = method.generator_loss(both(), random())
    assert made.details["cycle"] == made.details["identity"] == 0
    assert made.loss == made.details["fooling"] > 0


def test_there_and_back_is_no_loss_but_another_side_is():
    """x -> -x -> x: the cycle is closed, and images do not stay as they are on the side that they are of."""
    method = build(CycleGANConfig("dcgan", 8, cycle_weight=10.0, identity_weight=5.0))
    method.generators = nn.ModuleDict({"target": Same(-1.0), "source": Same(-1.0)})
    seen = both()
    made = method.generator_loss(seen, random())
    assert made.details["cycle"] == 0
    wanted = 2 * (seen["source"].abs().mean() + seen["target"].abs().mean())
    torch.testing.assert_close(made.details["identity"], wanted)
    torch.testing.assert_close(made.loss, made.details["fooling"] + 5 * wanted)
    torch.testing.assert_close(made.images, {"target": -seen["source"], "source": -seen["target"]})


def test_a_cycle_that_is_not_closed_is_the_distance_in_pixels():
    method = build(CycleGANConfig("dcgan", 8, identity_weight=0.0))
    method.generators = nn.ModuleDict({"target": Same(0.5), "source": Same(1.0)})
    seen = both()
    made = method.generator_loss(seen, random())
    torch.testing.assert_close(made.details["cycle"], 0.5 * sum(one.abs().mean() for one in seen.values()))
    torch.testing.assert_close(made.loss, made.details["fooling"] + 10 * made.details["cycle"])


def test_generators_lose_nothing_once_critics_are_fooled():
    method = build(CycleGANConfig("dcgan", 8))
    method.critics = nn.ModuleDict({side: Scores(1.0) for side in ("target", "source")})
    made = method.generator_loss(both(), random())
    assert made.details["fooling"] == 0
    torch.testing.assert_close(method.critic_loss(both(), made.images, random()), torch.tensor(1.0))  # 1 / 2 of each


def test_the_losses_are_least_squares():
    assert least_squares(torch.tensor([0.0, 2.0]), 1.0) == 1
    method = build(CutConfig("dcgan", 8))
    method.critics = nn.ModuleDict({"target": Scores(0.25)})
    loss = method.critic_loss(both(), {"target": images()}, random())
    torch.testing.assert_close(loss, torch.tensor(0.5 * (0.75**2 + 0.25**2)))


def test_a_critic_sees_made_images_through_its_pool():
    method = build(CycleGANConfig("dcgan", 8, pool=2))
    made = {"target": images(2, 3), "source": images(2, 4)}
    method.critic_loss(both(), made, random())
    assert torch.equal(method.pools["source"].images, made["source"])


def naive_nce(queries, keys, temperature):
    """Place by place."""
    total, count = 0.0, 0
    for one, others in zip(queries, keys, strict=True):
        for position, query in enumerate(one):
            similar = torch.stack([torch.cosine_similarity(query, key, 0) / temperature for key in others])
            total += similar.logsumexp(0) - similar[position]
            count += 1
    return total / count


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_patch_nce_is_the_naive_one(temperature):
    queries, keys = (torch.randn(2, 5, 4, generator=random(seed)) for seed in (0, 1))
    torch.testing.assert_close(patch_nce(queries, keys, temperature), naive_nce(queries, keys, temperature))


def test_places_that_are_recognized_cost_nothing_and_such_that_look_alike_a_guess():
    told = torch.eye(6)[None]
    assert patch_nce(told, told, 0.05) < 1e-7
    assert patch_nce(torch.ones(1, 6, 3), torch.ones(1, 6, 3), 0.05) == pytest.approx(math.log(6))


def test_the_places_of_both_images_are_the_same_ones():
    """An image and itself, with heads that see pixels: every place is recognized, so a shift of places would show."""
    cfg = CutConfig("dcgan", 8, identity=False, places=20, temperature=0.01)
    method = build(cfg)
    method.generators, method.heads = nn.ModuleDict({"target": Same()}), nn.ModuleList([nn.Identity()])
    seen = method.generator.features(images())
    assert method.contrast(seen, images(), random()) < 0.01
    assert method.contrast(seen, images(seed=1), random()) > 1


def test_keys_take_no_gradient():
    """What is recognized is the translation; the image is not to move towards it."""
    method = build(CutConfig("dcgan", 8))
    x, made = images().requires_grad_(), images(seed=1).requires_grad_()
    method.contrast(method.generator.features(x), made, random()).backward()
    assert x.grad is None
    assert made.grad is not None


def test_identity_shows_images_of_the_target_too():
    one, two = (build(CutConfig("dcgan", 8, identity=identity)) for identity in (True, False))
    seen = both()
    changed = {**seen, "target": images(seed=5)}
    assert one.generator_loss(seen, random()).loss != one.generator_loss(changed, random()).loss
    assert two.generator_loss(seen, random()).loss == two.generator_loss(changed, random()).loss


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CycleGANConfig("unet"), "`networks` unet: choose from resnet, dcgan"),
        (lambda: CycleGANConfig(width=0), "translation: width 0 must be at least 1"),
        (lambda: CycleGANConfig(blocks=0), "translation: blocks 0 must be at least 1"),
        (lambda: CycleGANConfig(cycle_weight=-1.0), "`cycle_weight` -1 must be a number, at least 0"),
        (lambda: CycleGANConfig(identity_weight=math.nan), "`identity_weight` nan must be a number"),
        (lambda: CycleGANConfig(pool=-1), "`pool` -1 must be at least 0"),
        (lambda: CutConfig(temperature=0.0), "`temperature` 0 must be a number, at least 0.001"),
        (lambda: CutConfig(places=1), "`places` 1 must be at least 2"),
        (lambda: check_shape("left", (31, 64, 3)), "images of 'left' are 31x64; at least 32 pixels"),
        (lambda: find_translation("munit"), "`method` munit: choose from cyclegan, cut"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
