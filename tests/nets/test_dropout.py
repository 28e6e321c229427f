import dataclasses

import pytest
import torch
from torch import nn

from robolearn.config import from_json
from robolearn.nets.backbone import Shapes
from robolearn.nets.dropout import Dropout, fixed_dropout
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig

SHAPES = Shapes(3, 2, 4, 2, 5, 1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(cfg):
    torch.manual_seed(0)
    return cfg.build(SHAPES)


def inputs(rows=6):
    x, cond, time = torch.randn(1, 4, 3, generator=generator()), torch.ones(1, 2, 5), torch.full((1, 1), 0.3)
    return x.expand(rows, 4, 3), cond.expand(rows, 2, 5), time.expand(rows, 1)


@pytest.fixture(params=["mlp", "transformer"])
def net(request, tiny_backbones):
    return build(dataclasses.replace(tiny_backbones[request.param], dropout=0.5)).eval()


@pytest.mark.parametrize("share", [0.003, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("shape", [(1000, 999), (7, 1000, 141)])
def test_the_share_that_is_asked_for_is_dropped_in_every_column_and_the_rest_is_scaled(share, shape):
    """Within five standard deviations, of all channels and of each remainder by four, since a word serves four."""
    torch.manual_seed(0)
    x = torch.full(shape, 2.0, requires_grad=True)
    y = Dropout(share).train()(x)
    y.sum().backward()
    kept = (y != 0).flatten()
    assert torch.allclose(y.detach().flatten()[kept], torch.tensor(2 / (1 - share)))
    assert torch.equal(x.grad, y.detach() / 2)
    for part in (kept, *(kept[k::4] for k in range(4))):
        deviation = (share * (1 - share) / len(part)) ** 0.5
        assert abs((~part).double().mean() - share) < 5 * deviation


def test_neighbors_are_dropped_independently():
    torch.manual_seed(0)
    kept = (Dropout(0.5).train()(torch.ones(400_000)) != 0).double()
    for distance in range(1, 9):
        correlation = torch.corrcoef(torch.stack([kept[distance:], kept[:-distance]]))[0, 1]
        assert abs(correlation) < 5 / len(kept) ** 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dropout_keeps_the_type_and_follows_the_seed(dtype):
    layer, x = Dropout(0.3).train(), torch.ones(5, 3, dtype=dtype).expand(4, 5, 3)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(layer(x))
    assert drawn[0].dtype == dtype
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_no_slow_dropout_is_left(net):
    layers = [module for module in net.modules() if isinstance(module, nn.Dropout)]
    assert layers
    assert all(isinstance(layer, Dropout) and layer.p == 0.5 for layer in layers)


def test_nearly_everything_may_be_dropped():
    assert (Dropout(1 - 1e-9).train()(torch.ones(1000)) == 0).sum() >= 990


def test_no_dropout_changes_nothing():
    """Same weights under the same names, same outputs in training, and no random number is used up."""
    plain, zero = build(MLPConfig(width=16)), build(MLPConfig(width=16, dropout=0.0))
    dropping = build(MLPConfig(width=16, dropout=0.5))
    assert list(plain.state_dict()) == list(dropping.state_dict())
    before = torch.get_rng_state()
    assert torch.equal(plain.train()(*inputs()), zero.eval()(*inputs()))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(plain(*inputs()), dropping.eval()(*inputs()))


@pytest.mark.parametrize("backbone", ["mlp", "transformer"])
@pytest.mark.parametrize(
    ("family", "option", "dropped"),
    [
        (TokensConfig(), None, 0.1),
        (RegressionConfig(), None, 0.1),
        (FlowConfig(), None, 0.0),
        (CVAEConfig(), None, 0.0),
        (TokensConfig(), 0.0, 0.0),
        (FlowConfig(), 0.3, 0.3),
    ],
)
def test_where_a_backbone_leaves_it_open_dropout_is_what_the_family_wants(
    make_policy, tiny_backbones, backbone, family, option, dropped
):
    policy = make_policy(family)
    cfg = dataclasses.replace(policy.cfg, backbone=dataclasses.replace(tiny_backbones[backbone], dropout=option))
    layers = [module for module in Policy(cfg, policy.normalizer).modules() if isinstance(module, nn.Dropout)]
    assert {layer.p for layer in layers} == {dropped}


def test_configurations_from_before_there_was_dropout():
    assert from_json(MLPConfig, {"width": 16, "depth": 2}, {}) == MLPConfig(16, 2, dropout=0.0)
    assert from_json(TransformerConfig, {}, {}) == TransformerConfig(dropout=0.0)


def test_in_training_every_row_drops_others():
    rows = build(MLPConfig(width=16, dropout=0.5)).train()(*inputs())
    assert (rows[0] - rows[1]).abs().max() > 1e-3


@torch.no_grad()
def test_fixed_dropout_is_one_network(net):
    """All rows and all calls alike, another network the next time, and the whole one again afterwards."""
    whole = net(*inputs())
    samples = []
    for seed in (0, 1):
        with fixed_dropout(net, generator=generator(seed)):
            rows, again = net(*inputs()), net(*inputs(2))
        torch.testing.assert_close(rows, rows[:1].expand_as(rows))
        torch.testing.assert_close(again, rows[:2])
        samples.append(rows[0])
    assert (samples[0] - samples[1]).abs().max() > 1e-3
    assert (samples[0] - whole[0]).abs().max() > 1e-3
    assert torch.equal(net(*inputs()), whole)
    with fixed_dropout(net, generator=generator(1)):
        assert torch.equal(net(*inputs())[0], samples[1])


@torch.no_grad()
def test_masks_keep_the_mean():
    """200 masks of a layer that passes ones on: 1 in the mean within 4 standard errors."""
    layer, draws = torch.nn.Sequential(torch.nn.Dropout(0.2)).eval(), generator()
    activations = []
    for _ in range(200):
        with fixed_dropout(layer, generator=draws):
            activations.append(layer(torch.ones(1, 80)))
    activations = torch.cat(activations)
    assert set(activations.unique().tolist()) == {0.0, 1.25}
    assert activations.mean().item() == pytest.approx(1, abs=4 * 0.5 / (200 * 80) ** 0.5)


def test_a_network_without_dropout_is_refused():
    with (
        pytest.raises(ValueError, match=r"no dropout; train it with `backbone\.dropout`"),
        fixed_dropout(build(MLPConfig(width=16)).eval(), generator=generator()),
    ):
        pass


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_is_a_share(dropout):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
        MLPConfig(dropout=dropout)
