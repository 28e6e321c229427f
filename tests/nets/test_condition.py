"""What a backbone does once for a plan is what it does anew at every step, and the U-Net of one chunk is the U-Net."""

import copy

import pytest
import torch

from robolearn.nets import backbone as parts
from robolearn.nets.backbone import Shapes, condition
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.tape import record
from robolearn.nets.unet import UNetConfig
from robolearn.nets.unet_rows import RowUNet, whole_convolutions

BACKBONES = ["mlp", "plain", "unet", "transformer", "lstm"]
TIMES = torch.tensor([[0.0, 0.3], [0.5, 0.1], [0.9, 0.7], [1.0, 0.2], [0.4, 0.4]])


@pytest.fixture
def build(tiny_backbones):
    """A network without zeros, for 2 observations of 5 numbers, 2 times and chunks of 3 numbers."""

    def make(backbone, horizon=6):
        torch.manual_seed(0)
        cfg = MLPConfig(width=8, depth=2, plain=True) if backbone == "plain" else tiny_backbones[backbone]
        net = cfg.build(Shapes(3, 2, horizon, 2, 5, 2)).eval()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return net

    return make


def inputs(rows, horizon=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, horizon, 3, generator=generator), torch.randn(rows, 2, 5, generator=generator)


@pytest.mark.parametrize("rows_ahead", [1, 6, 512])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_what_is_done_once_changes_nothing(build, monkeypatch, backbone, rows, rows_ahead):
    """Whatever the number of evaluations that are prepared at once, and in whatever order they come."""
    monkeypatch.setattr(parts, "ROWS_AHEAD", rows_ahead)
    net, (x, cond) = build(backbone), inputs(rows)
    denoise = condition(net, cond, TIMES)
    for step in (0, 1, 1, 2, 4, 3, 0):
        torch.testing.assert_close(denoise(x, step), net(x, cond, TIMES[step].expand(rows, -1)))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_what_is_done_once_is_not_done_again(build, backbone):
    """Neither the times are embedded at a step nor are the observations looked at."""
    net, (x, cond) = build(backbone), inputs(3)
    seen = []
    for name in ("time", "cond", "observe", "encoder"):
        for module in getattr(net, name, torch.nn.Identity()).modules():
            module.register_forward_hook(lambda *_: seen.append(1))
    denoise = condition(net, cond, TIMES)
    denoise(x, 0)
    before = len(seen)
    for step in range(5):
        denoise(x, step)
    assert before > 0
    assert len(seen) == before


def test_a_network_of_one_s_own_need_not_know_of_it():
    def net(x, cond, time=None):
        assert time is not None
        return x + cond.sum() + time[:, None]

    x, cond = torch.zeros(2, 3, 1), torch.ones(2, 1, 4)
    assert torch.equal(condition(net, cond, TIMES[:, :1])(x, 2), torch.full((2, 3, 1), 8.9))


def single(net, horizon=6):
    x, cond = inputs(1, horizon)
    with torch.no_grad():
        return net(x, cond, TIMES[:1])


@pytest.mark.parametrize("horizon", [1, 5, 8, 16])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_the_unet_of_one_chunk_is_the_unet(horizon, kernel_size):
    torch.manual_seed(0)
    cfg = UNetConfig(widths=(4, 8, 8), num_groups=2, time_dim=8, kernel_size=kernel_size)
    net = cfg.build(Shapes(3, 2, horizon, 2, 5, 2)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x, cond = inputs(1, horizon)
    alone = single(net, horizon)
    assert isinstance(net._rows._made, RowUNet)
    torch.testing.assert_close(alone, net(x, cond, TIMES[:1]).detach())  # with gradients it is another
    with whole_convolutions():
        torch.testing.assert_close(single(net, horizon), alone)


def test_the_unet_of_one_chunk_follows_its_weights(build):
    """However they change: by an optimizer, by others that are read, or behind torch's back and `eval` called."""
    net, other = build("unet"), build("unet")
    single(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    net.load_state_dict(other.state_dict())
    assert torch.equal(single(net), single(other))
    for changed in (net, other):
        with torch.no_grad():
            changed.down[0][0].first[0].weight.add_(0.1)
    assert torch.equal(single(net), single(other))
    for changed in (net, copy.deepcopy(other)):
        changed.middle[1].second[0].weight.data.mul_(1.5).add_(0.1)
        changed.eval()
        results = single(changed)
        with whole_convolutions():
            torch.testing.assert_close(results, single(changed))


def test_graphs_have_convolutions_and_training_does_too(build):
    """What is exported is computed by others, which are quick with convolutions."""
    net, (x, cond) = build("unet"), inputs(1)
    tape, _ = record(lambda x: net(x, cond, TIMES[:1]), {"x": x})
    assert sum(operation.name == "aten.convolution.default" for operation in tape.operations) > 10
    net.train()
    single(net)
    assert net._rows._made is None


def test_torch_func_transforms_the_unet_of_one_chunk(build):
    net, (x, cond) = build("unet"), inputs(3)
    with torch.no_grad():
        together = net(x, cond, TIMES[:3])
        one = torch.func.vmap(lambda x, cond, time: net(x[None], cond[None], time[None]))
        torch.testing.assert_close(one(x, cond, TIMES[:3]).flatten(0, 1), together)


def test_weights_that_torch_counts_no_changes_of_are_taken_as_they_are(build):
    with torch.inference_mode():
        net = build("unet")
        before = single(net)
        net.out.weight.mul_(2)
        net.out.bias.mul_(2)
        torch.testing.assert_close(single(net), 2 * before)
