"""Parameters in one buffer, and AdamW on it, beside torch's own, parameter by parameter."""

import copy

import pytest
import torch
from torch import nn

from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.training.adamw import FlatAdamW
from robolearn.training.config import TrainConfig
from robolearn.training.device import autocast
from robolearn.training.flat import Flat, lowerable
from robolearn.training.state import TrainState

OPTIONS = {"lr": 0.05, "betas": (0.9, 0.99), "weight_decay": 0.1}


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.SiLU(), nn.Linear(7, 2, bias=False), nn.Linear(2, 3))


def flat_adamw(net, *, low=(), groups=((0, 2, 4), (1, 3, 5, 6)), clip=0.3):
    """Parameters in two buffers, of neither of which a checkpoint knows."""
    parameters = list(net.parameters())
    flats = [Flat([parameters[i] for i in group], low) for group in groups]
    return FlatAdamW(flats, parameters, grad_clip=clip, **OPTIONS)


def loss_of(net, seed):
    return net(torch.randn(4, 5, generator=torch.Generator().manual_seed(seed))).square().sum()


def torch_step(net, optimizer, seed, clip=0.3):
    optimizer.zero_grad()
    loss_of(net, seed).backward()
    norm = nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return norm


def flat_step(net, optimizer, seed):
    for parameter in net.parameters():
        parameter.grad = None
    optimizer.differentiate(loss_of(net, seed))
    return optimizer.move()


def test_parameters_keep_their_values_and_lie_in_the_buffer():
    net, before = network(), network().state_dict()
    flat = Flat(list(net.parameters()), lowerable(net))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    flat.data.zero_()
    assert all(not p.any() for p in net.parameters())
    net.load_state_dict(before)
    assert flat.data.norm() == pytest.approx(torch.cat([x.flatten() for x in before.values()]).norm().item())


def test_a_copy_shares_nothing_with_it():
    net = network()
    flat, twin = Flat(list(net.parameters())), copy.deepcopy(net)
    flat.data.zero_()
    assert twin[0].weight.any()


def test_steps_are_those_of_torch():
    ours, theirs = network(), network()
    optimizer, torchs = flat_adamw(ours), torch.optim.AdamW(theirs.parameters(), **OPTIONS)
    for seed in range(5):
        torch.testing.assert_close(flat_step(ours, optimizer, seed), torch_step(theirs, torchs, seed))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_moments_go_to_torch_and_back():
    """A checkpoint of either goes on as the other."""
    ours, theirs = network(), network()
    optimizer, torchs = flat_adamw(ours), torch.optim.AdamW(theirs.parameters(), **OPTIONS)
    flat_step(ours, optimizer, 0), torch_step(theirs, torchs, 0)
    mine, yours = optimizer.state(), torchs.state_dict()["state"]
    assert list(mine) == list(yours)
    for number in mine:
        for slot in ("step", "exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(mine[number][slot], yours[number][slot])
    again = flat_adamw(ours, groups=((0, 1, 2, 3, 4, 5, 6),))
    again.restore(yours)
    flat_step(ours, again, 1), torch_step(theirs, torchs, 1)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_what_a_checkpoint_does_not_name_was_never_moved():
    net = network()
    optimizer = flat_adamw(net)
    flat_step(net, optimizer, 0)
    saved = optimizer.state()
    other_net = network()
    other = flat_adamw(other_net)
    flat_step(other_net, other, 1)
    other.restore({number: slots for number, slots in saved.items() if number != 3})
    restored = other.state()
    assert not restored[3]["exp_avg"].any()
    assert torch.equal(restored[1]["exp_avg"], saved[1]["exp_avg"])
    assert restored[1]["step"] == 1


def test_a_loss_that_does_not_reach_a_parameter_has_no_gradient_there():
    net = network()
    flat = Flat(list(net.parameters()))
    net[0](torch.ones(1, 5)).sum().backward()
    flat.gather()
    gradients = dict(zip(flat.parameters, flat.split(flat.gradient), strict=True))
    assert gradients[net[0].weight].any()
    assert not gradients[net[4].weight].any()


def test_lowered_weights_are_those_of_autocast_and_come_back():
    """Gradients equal those of autocast to the last digit: the same roundings, in another order."""
    ours, theirs = network(), network()
    optimizer = flat_adamw(ours, low=lowerable(ours))
    for net in (ours, theirs):
        net[0].weight.data += 1  # since the buffer was made
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(theirs, 0)
    loss.backward()
    before = [p.detach().clone() for p in ours.parameters()]
    with optimizer.flats[0].lowered(), optimizer.flats[1].lowered():
        assert ours[0].weight.dtype == ours[4].bias.dtype == torch.bfloat16
        assert ours[1].weight.dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(ours, 0)
        optimizer.differentiate(loss)
    assert all(torch.equal(p, value) and p.grad is None for p, value in zip(ours.parameters(), before, strict=True))
    for flat in optimizer.flats:
        gradients = dict(zip(flat.parameters, flat.split(flat.gradient), strict=True))
        for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            if parameter in gradients:
                assert torch.equal(gradients[parameter], other.grad)


def test_weights_come_back_from_a_step_that_failed():
    net = network()
    flat = Flat(list(net.parameters()), lowerable(net))
    with pytest.raises(ZeroDivisionError), flat.lowered():
        1 / 0  # noqa: B018
    assert net[0].weight.dtype == torch.float32


@pytest.mark.parametrize("family", [FlowConfig(), GanConfig(), TokensConfig("residual-vq", width=8)], ids=str)
def test_every_trained_parameter_is_in_one_buffer(make_policy, family):
    state = TrainState(make_policy(family), TrainConfig())
    held = [id(p) for flat in state.flats.values() for p in flat.parameters]
    assert sorted(held) == sorted(id(p) for p in state.policy.parameters() if p.requires_grad)
    for name, optimizer in state.optimizers.items():
        assert {p for flat in optimizer.flats for p in flat.parameters} == set(state._parameters(state.players[name]))


@pytest.mark.parametrize(("amp", "lowered"), [("on", True), ("off", False)])
def test_weights_are_lowered_where_autocast_is(make_policy, amp, lowered):
    state = TrainState(make_policy(DiffusionConfig()), TrainConfig(amp=amp))
    with state.differentiated(), autocast(state.policy.device, amp):
        kinds = {p.dtype for p in state.policy.parameters()}
    assert (torch.bfloat16 in kinds) == lowered


def test_weights_stay_as_they_are_where_two_derivatives_are_taken(make_policy):
    state = TrainState(make_policy(GanConfig("wgan-gp", "cgd")), TrainConfig(amp="on"))
    with state.differentiated():
        assert {p.dtype for p in state.policy.parameters()} == {torch.float32}
