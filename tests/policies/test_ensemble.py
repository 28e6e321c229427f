"""An ensemble answers with each member's own chunks, from one noise, in comparable units."""

import dataclasses
import re

import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.data.symmetry import AffineMap, Symmetry
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.policies.prefix import Prefix
from robolearn.policies.registry import FAMILIES
from robolearn.policies.regression import RegressionConfig


@pytest.fixture
def make_ensemble(make_policy):
    def make(family, k=3, **options):
        return Ensemble([make_policy(family, seed=seed, **options) for seed in range(k)])

    return make


def states(batch, dim=4):
    return {"state": torch.randn(batch, 2, dim, generator=torch.Generator().manual_seed(0))}


def draw(ensemble, rows):
    return ensemble.noise(rows, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone", ["mlp", "transformer"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_every_member_answers_for_itself_from_the_same_noise(make_ensemble, family, backbone):
    ensemble = make_ensemble(FAMILIES[family](), backbone=backbone)
    obs, noise = states(5), draw(ensemble, 10)
    chunks = ensemble.act(obs, noise)
    assert chunks.shape == (len(ensemble), 10, 4, 2)
    for member, own in zip(ensemble.members, chunks, strict=True):
        assert torch.equal(own, member.act(obs, noise))
    assert (chunks[0] - chunks[1]).abs().max() > 0.01


@torch.no_grad()
def test_equal_members_agree_exactly(make_policy):
    """With noise of their own they would not."""
    ensemble = Ensemble([make_policy(FlowConfig(steps=2))] * 2)
    noise = draw(ensemble, 6)
    one, other = ensemble.act(states(6), noise)
    assert torch.equal(one, other)
    assert not torch.equal(one, ensemble.act(states(6), noise.flip(0))[1])


@torch.no_grad()
def test_a_prefix_reaches_every_member(make_ensemble):
    ensemble = make_ensemble(RegressionConfig(), prefix_horizon=2)
    noise = draw(ensemble, 3)
    prefix = Prefix(torch.ones(3, 2, 2), torch.tensor([2, 2, 2]))
    with_prefix, without = ensemble.act(states(3), noise, prefix), ensemble.act(states(3), noise)
    for member in range(3):
        assert (with_prefix[member] - without[member]).abs().max() > 1e-3


def test_chunks_are_normalized_by_one_normalizer(make_policy):
    members = [make_policy(RegressionConfig(), seed=seed) for seed in range(2)]
    for scale, member in zip((2.0, 5.0), members, strict=True):
        member.normalizer.get_buffer("action_scale").fill_(scale)
    chunks = torch.full((2, 3, 4, 2), 10.0)
    torch.testing.assert_close(Ensemble(members).normalize(chunks), chunks / 2)


@torch.no_grad()
def test_low_dimensional_observations_are_embedded_as_they_are(make_ensemble):
    ensemble = make_ensemble(RegressionConfig(), prefix_horizon=2)
    ensemble.members[0].normalizer.get_buffer("state_centre").fill_(1.0)
    obs = states(3)
    torch.testing.assert_close(ensemble.embed(obs), (obs["state"] - 1).flatten(1))  # and nothing about a prefix


@torch.no_grad()
def test_images_are_embedded_by_their_features(make_ensemble):
    ensemble = make_ensemble(RegressionConfig(), obs_shapes={"image": (32, 32, 3), "state": (4,)})
    image = torch.randint(256, (3, 2, 32, 32, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    embedding = ensemble.embed({"image": image, **states(3)})
    assert embedding.shape == (3, 2 * (4 + 4))
    assert (embedding[0] - embedding[1]).abs().max() > 0


@torch.no_grad()
def test_a_canonical_policy_embeds_what_it_sees(make_policy):
    """A turned observation looks the same to it."""
    quarter = AffineMap(((0.0, -1.0), (1.0, 0.0)), (3.0, 1.0))
    symmetry = Symmetry({"state": quarter, "action": quarter}, order=4)
    plain = make_policy(RegressionConfig(), obs_shapes={"state": (2,)})
    cfg = dataclasses.replace(plain.cfg, symmetry=symmetry, symmetry_use="canonical")
    obs = states(20, dim=2)
    turned = symmetry.turn_all(obs, torch.arange(20) % 4)
    for use, equal in ((cfg, True), (dataclasses.replace(cfg, symmetry_use="augment"), False)):
        ensemble = Ensemble([Policy(use, Normalizer({"state": (2,), "action": (2,)})).eval()])
        same = torch.allclose(ensemble.embed(obs), ensemble.embed(turned), atol=1e-4)
        assert same is equal


def test_members_are_loaded_as_they_were_saved(tmp_path, make_ensemble):
    saved = make_ensemble(FlowConfig(steps=4))
    paths = [tmp_path / str(index) for index in range(3)]
    for path, member in zip(paths, saved.members, strict=True):
        member.save(path)
    loaded = Ensemble.load(paths, steps=2)
    assert [member.family.cfg.steps for member in loaded.members] == [2, 2, 2]
    for one, other in zip(saved.members, Ensemble.load(paths).members, strict=True):
        assert all(torch.equal(other.state_dict()[name], value) for name, value in one.state_dict().items())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"family": FlowConfig(steps=3)}, "ensemble: family of member 1 is FlowConfig("),
        ({"backbone": "lstm"}, "ensemble: backbone of member 1 is LSTMConfig("),
        ({"action_horizon": 8}, "ensemble: action_horizon of member 1 is 8, of member 0 4"),
    ],
)
def test_members_of_other_configurations_are_refused(make_policy, other, message):
    common = {"family": FlowConfig()}
    with pytest.raises(ValueError, match=re.escape(message)):
        Ensemble([make_policy(**common), make_policy(**common | other)])


def test_an_ensemble_has_members():
    with pytest.raises(ValueError, match="an ensemble needs at least one member"):
        Ensemble([])
