"""The term that is trained for tight bounds: what it bounds, when it begins, and what it needs."""

import dataclasses

import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.draws import DrawSource
from robolearn.policies.family import Chunks
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig

FAMILIES = {
    "regression": RegressionConfig(bound_weight=2.0, bound_error=0.1),
    "tokens": TokensConfig(num_bins=4, width=8, bound_weight=2.0, bound_error=0.1),
}


def family_of(cfg, backbone=None):
    torch.manual_seed(0)
    backbone = backbone or MLPConfig(width=16, depth=1, dropout=0.0, plain=True)
    policy = PolicyConfig(cfg, backbone, {"state": (3,)}, 2, 1, 4)
    return Policy(policy, Normalizer({"state": (3,), "action": (2,)})).family


def batch():
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(6, 4, dtype=torch.bool)
    mask[0, 2:] = False
    actions, cond = (torch.rand(*shape, generator=generator) * 2 - 1 for shape in ((6, 4, 2), (6, 1, 3)))
    return Chunks(actions, cond, mask)


def error_at(family, progress, player="policy"):
    draws = family.draw(DrawSource(6, torch.Generator().manual_seed(0), player, progress))
    return draws["bound_error"].unique().item()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_gains_the_mean_radius_of_the_chunk(name):
    """By hand: with the data's chunks the loss without it, and the weight times what intervals give."""
    family, data = family_of(FAMILIES[name]), batch()
    plain = family.loss(data, {})[0]
    draws = {"bound_error": torch.full((6,), 0.1)}
    loss, logged = family.loss(data, draws)
    radius = logged["bound_radius"]
    assert radius > 0
    torch.testing.assert_close(loss, plain + 2.0 * radius)
    doubled = family.loss(data, {"bound_error": torch.full((6,), 0.2)})[1]["bound_radius"]
    assert 1.5 < doubled / radius < 2.5


@pytest.mark.parametrize("name", FAMILIES)
def test_chunks_move_no_further_than_the_bounds(name):
    """Largest over 500 errors of each observation, averaged as the term is; padding does not count."""
    family, data = family_of(FAMILIES[name]), batch()
    radius = family.loss(data, {"bound_error": torch.full((6,), 0.1)})[1]["bound_radius"]
    by = 0.2 * torch.rand(500, 6, 1, 3, generator=torch.Generator().manual_seed(2)) - 0.1

    def chunks(cond):
        if name == "regression":
            return family.predict(cond)
        with torch.no_grad():
            codes = family.tokenizer.encode(family.anchor(data.actions), data.mask)
        return family.offset(family.features(cond), codes)

    moved = torch.stack([chunks(data.cond + one) for one in by])
    reach = (moved.amax(0) - moved.amin(0)) / 2
    mean = reach[data.mask].mean()
    assert 0.02 * radius < mean <= radius


def test_the_error_grows_from_nothing():
    family = family_of(FAMILIES["tokens"])
    assert [round(error_at(family, share), 6) for share in (0.0, 0.1, 0.35, 0.6, 0.99)] == [0, 0, 0.05, 0.1, 0.1]


@pytest.mark.parametrize("name", FAMILIES)
def test_without_a_weight_nothing_is_drawn(name):
    family = family_of(dataclasses.replace(FAMILIES[name], bound_weight=0.0))
    assert family.draw(DrawSource(6, torch.Generator().manual_seed(0))) == {}
    assert family.validation_draws(6, generator=torch.Generator()) == {}


@pytest.mark.parametrize("name", FAMILIES)
def test_held_out_windows_are_judged_without_the_bounds(name):
    assert family_of(FAMILIES[name]).validation_draws(6, generator=torch.Generator()) == {}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_backbone_without_intervals_is_refused(name):
    with pytest.raises(ValueError, match="needs backbone mlp with `backbone"):
        family_of(FAMILIES[name], MLPConfig(width=16, depth=1))


@pytest.mark.parametrize("changes", [{"bound_weight": -1.0}, {"bound_error": 0.0}, {"bound_weight": float("nan")}])
@pytest.mark.parametrize("name", FAMILIES)
def test_impossible_terms(name, changes):
    with pytest.raises(ValueError, match=f"{name}: bound_weight .* must not be negative, bound_error .* above 0"):
        dataclasses.replace(FAMILIES[name], **changes)
