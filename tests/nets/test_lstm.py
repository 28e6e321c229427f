import pytest
import torch
from torch import nn

from robolearn.nets.backbone import Shapes
from robolearn.nets.lstm import Layer, LSTMConfig

SHAPES = Shapes(3, 2, 6, 4, 5, 1)


def build(depth=2):
    torch.manual_seed(0)
    return LSTMConfig(width=8, depth=depth).build(SHAPES).double()


def inputs():
    generator = torch.Generator().manual_seed(1)
    draw = torch.randn(21, 2, generator=generator, dtype=torch.float64)
    cond = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    return draw[:18].T.reshape(2, 6, 3).contiguous(), cond, draw[18:19].T.sigmoid()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_layer_is_torchs(reverse):
    """nn.LSTM orders its gates alike; run backwards it reads the flipped sequence."""
    torch.manual_seed(0)
    layer, reference = Layer(5, reverse=reverse), nn.LSTM(5, 5, batch_first=True)
    reference.weight_ih_l0.data, reference.weight_hh_l0.data = layer.input.weight.data, layer.recurrent.weight.data
    reference.bias_ih_l0.data = layer.input.bias.data
    reference.bias_hh_l0.data.zero_()
    x, state = torch.randn(2, 7, 5), (torch.randn(2, 5), torch.randn(2, 5))
    expected, (hidden, cell) = reference(x.flip(1) if reverse else x, tuple(s[None] for s in state))
    out, last = layer(x, state)
    torch.testing.assert_close(out, expected.flip(1) if reverse else expected)
    torch.testing.assert_close(last, (hidden[0], cell[0]))


@pytest.mark.parametrize(("depth", "sees_ahead"), [(1, False), (2, True), (3, True)])
def test_every_step_sees_the_whole_chunk_from_two_layers_on(depth, sees_ahead):
    net, (x, cond, time) = build(depth), inputs()
    other = x.clone()
    other[:, -1] += 1
    first = (net(x, cond, time) - net(other, cond, time))[:, 0]
    assert bool(first.any()) == sees_ahead


def test_observations_are_read_in_order():
    net, (x, cond, time) = build(), inputs()
    swapped = cond[:, [1, 0, 2, 3]]
    assert (net(x, cond, time) - net(x, swapped, time)).abs().max() > 1e-4


def test_beside_the_states_the_last_observation_alone_enters():
    net, (x, cond, time) = build(), inputs()
    for parameter in net.observe.parameters():
        nn.init.zeros_(parameter)  # states and updates are 0, so that an observation enters by itself
    for step, enters in enumerate((False, False, False, True)):
        other = cond.clone()
        other[:, step] += 1
        assert torch.equal(net(x, cond, time), net(x, other, time)) != enters


def test_second_derivatives():
    """What gradient penalties need."""
    net, (x, cond, time) = build(), inputs()
    assert torch.autograd.gradgradcheck(lambda x: net(x, cond, time), x.requires_grad_())


def test_forward_mode_derivatives():
    """What flow maps need, and that they can be differentiated again; against central differences."""
    net, (x, cond, time) = build(), inputs()
    _, along = torch.func.jvp(lambda t: net(x, cond, t), (time,), (torch.ones_like(time),))
    step = 1e-6
    difference = (net(x, cond, time + step) - net(x, cond, time - step)) / (2 * step)
    torch.testing.assert_close(along, difference, rtol=1e-5, atol=1e-7)
    along.square().sum().backward()
    assert all(parameter.grad is not None for name, parameter in net.named_parameters() if name != "out.bias")
