import pytest
import torch

from robolearn.config import from_json
from robolearn.nets.backbone import FiLM, Shapes, TimeEmbedding, modulate
from robolearn.nets.lstm import LSTMConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.nets.unet import UNetConfig
from robolearn.nets.vision import VisionConfig
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.tokens import TokensConfig

BACKBONES = ["mlp", "unet", "transformer", "lstm"]


def build(cfg, *, horizon=4, num_times=1):
    torch.manual_seed(0)
    net = cfg.build(Shapes(3, 2, horizon, 2, 5, num_times)).eval()
    for parameter in net.parameters():  # FiLM starts at zero, where nothing depends on the condition
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net


def inputs(horizon=4, num_times=1):
    generator = torch.Generator().manual_seed(1)
    x, cond = torch.randn(2, horizon, 3, generator=generator), torch.randn(2, 2, 5, generator=generator)
    return x, cond, torch.rand(2, num_times, generator=generator) if num_times else None


@pytest.mark.parametrize("horizon", [1, 2, 3, 5, 7, 16])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_horizon(tiny_backbones, backbone, horizon):
    net = build(tiny_backbones[backbone], horizon=horizon)
    out = net(*inputs(horizon))
    assert out.shape == (2, horizon, 2)
    assert out.isfinite().all()


@pytest.mark.parametrize("horizon", range(1, 10))
def test_unet_of_three_resolutions_takes_any_horizon(horizon):
    net = build(UNetConfig(widths=(4, 8, 8), num_groups=2, time_dim=8), horizon=horizon)
    assert net(*inputs(horizon)).shape == (2, horizon, 2)


@pytest.mark.parametrize("num_times", [0, 1, 2])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_input_matters(tiny_backbones, backbone, num_times):
    net = build(tiny_backbones[backbone], num_times=num_times)
    arguments = inputs(num_times=num_times)
    needed = [a.requires_grad_() for a in arguments if a is not None]
    gradients = torch.autograd.grad(net(*arguments).square().sum(), needed)
    for gradient in gradients:  # every observation token, every action step, every time
        assert (gradient.abs().flatten(2).sum(-1) > 0).all() if gradient.dim() == 3 else (gradient != 0).all()


@pytest.mark.parametrize("num_times", [0, 1])
@pytest.mark.parametrize("activation", ["silu", "relu", "tanh"])
def test_a_plain_mlp_is_affine_maps_and_its_activation(activation, num_times):
    """Nothing else, so that its bounds are tight; by hand, and every input matters."""
    net = build(MLPConfig(width=8, depth=2, activation=activation, plain=True), num_times=num_times)
    x, cond, time = inputs(num_times=num_times)
    act = {"silu": torch.nn.functional.silu, "relu": torch.relu, "tanh": torch.tanh}[activation]
    for each in [x, cond] + ([] if time is None else [time]):
        each.requires_grad_()
    h = net.embed(x.flatten(1)) + net.cond(cond.flatten(1)) + net.time(time, 2)
    for block in net.blocks:
        h = h + block.down(act(block.up(h)))
    torch.testing.assert_close(net(x, cond, time).flatten(1), net.out(h))
    gradients = torch.autograd.grad(net(x, cond, time).square().sum(), [x, cond] + ([] if time is None else [time]))
    assert all((gradient.abs().flatten(1).sum(1) > 0).all() for gradient in gradients)
    assert {type(m).__name__ for m in net.modules()}.isdisjoint({"LayerNorm", "FiLM"})


@pytest.mark.parametrize("backbone", BACKBONES)
def test_rows_do_not_mix(tiny_backbones, backbone):
    net = build(tiny_backbones[backbone])
    x, cond, time = inputs()
    together, alone = net(x, cond, time), net(x[1:], cond[1:], time[1:])
    torch.testing.assert_close(together[1:], alone)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_forgotten_time_is_noticed(tiny_backbones, backbone):
    x, cond, _ = inputs()
    with pytest.raises(AssertionError, match="family with a time"):
        build(tiny_backbones[backbone])(x, cond)


def test_film_is_the_identity_at_the_start():
    x, cond = torch.randn(2, 4, 3), torch.randn(2, 5)
    torch.testing.assert_close(modulate(x, FiLM(5, 4)(cond)), x)


def test_film_scales_and_shifts():
    film, x, cond = FiLM(5, 4), torch.randn(2, 4, 3), torch.randn(2, 5)
    film.linear.bias.data = torch.cat([torch.full((4,), 2.0), torch.full((4,), 7.0)])
    torch.testing.assert_close(modulate(x, film(cond)), 3 * x + 7)


def test_time_embedding_tells_neighboring_levels_apart():
    embedding = TimeEmbedding(1, 8)
    times = torch.arange(101)[:, None] / 100
    angles = (times * embedding.frequencies)[:, None]
    features = torch.cat([angles.sin(), angles.cos()], dim=1).flatten(1)
    distances = torch.cdist(features, features) + 10 * torch.eye(101)
    assert distances.min() > 0.1
    assert embedding(times, 101).shape == (101, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNetConfig(widths=(12,)), r"widths \(12,\) must be multiples of num_groups 8"),
        (lambda: UNetConfig(widths=()), "widths"),
        (lambda: UNetConfig(kernel_size=4), "kernel_size 4 must be odd"),
        (lambda: LSTMConfig(depth=0), "depth 0 must be at least 1"),
        (lambda: MLPConfig(width=0), "mlp: width 0 must be at least 1"),
        (lambda: MLPConfig(depth=-1), "mlp: depth -1 must be at least 1"),
        (lambda: MLPConfig(width=-(2**63)), "must be at least 1"),
        (lambda: MLPConfig(width=2**63), "must be at most 65536"),
        (
            lambda: from_json(MLPConfig, {"activation": "gelu"}, {}, "p"),
            "activation: expected one of silu, relu, tanh, found 'gelu'",
        ),
        (lambda: UNetConfig(widths=(-8, 16)), "unet: width -8 must be at least 1"),
        (lambda: UNetConfig(num_groups=0), "unet: num_groups 0 must be at least 1"),
        (lambda: UNetConfig(time_dim=2**40), "unet: time_dim 1099511627776 must be at most 65536"),
        (lambda: TransformerConfig(num_heads=0), "transformer: num_heads 0 must be at least 1"),
        (lambda: TransformerConfig(decoder_depth=0), "transformer: decoder_depth 0 must be at least 1"),
        (lambda: TransformerConfig(dropout=1.5), r"transformer: dropout 1.5 must be in \[0, 1\)"),
        (lambda: GMMConfig(num_components=2**40), "gmm: num_components 1099511627776 must be at most"),
        (lambda: CVAEConfig(latent_dim=2**40), "cvae: latent_dim 1099511627776 must be at most"),
        (lambda: TokensConfig(num_bins=2**40), "tokens: num_bins 1099511627776 must be at most"),
        (lambda: MixtureConfig(num_codes=2**40), "mixture: num_codes 1099511627776 must be at most"),
        (lambda: VisionConfig(features=2**40).build(3), "vision: features 1099511627776 must be at most"),
        (lambda: TransformerConfig(width=10), "width 10 is not a multiple of num_heads 4"),
    ],
)
def test_impossible_sizes(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_defaults_are_of_the_size_they_say():
    shapes = Shapes(2, 2, 16, 2, 4, 1)
    sizes = {
        type(cfg): sum(p.numel() for p in cfg.build(shapes).parameters())
        for cfg in (MLPConfig(), UNetConfig(), TransformerConfig(), LSTMConfig())
    }
    assert all(3e5 < size < 5e6 for size in sizes.values()), sizes


def test_the_stream_of_an_mlp_is_as_wide_as_the_noise_of_its_chunk():
    def width(dim_in, dim_out):
        return MLPConfig().build(Shapes(dim_in, dim_out, 16, 2, 4, 1)).embed.out_features

    assert width(2, 2) == width(2, 500) == width(64, 2) == 256
    assert width(26, 26) == 640
    assert MLPConfig(width=32).build(Shapes(26, 26, 16, 2, 4, 1)).embed.out_features == 32
