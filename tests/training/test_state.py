import copy

import pytest
import torch
from torch import nn

from robolearn.nets.backbone import Shapes
from robolearn.nets.unet_rows import whole_convolutions
from robolearn.policies.flow import FlowConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.training.config import TrainConfig
from robolearn.training.ema import EMA
from robolearn.training.flat import Flat
from robolearn.training.state import TrainState


def averaged(module, decay, start=0):
    return EMA(module, decay, {Flat(list(module.parameters())): start})


def test_ema_follows_its_formula():
    module = nn.Linear(2, 2)
    ema = averaged(module, 0.9)
    expected = copy.deepcopy(module.weight.data)
    for step in range(50):
        module.weight.data += torch.randn(2, 2)
        ema.update(step)
        decay = min(0.9, 1 - (1 + step) ** -0.75)
        expected = decay * expected + (1 - decay) * module.weight.data
    torch.testing.assert_close(ema.module.weight.data, expected)


def test_a_plan_with_the_average_follows_it(tiny_backbones):
    """The weights are views of a buffer, which do not notice; one chunk's are laid out anew nevertheless."""
    torch.manual_seed(0)
    net = tiny_backbones["unet"].build(Shapes(3, 2, 6, 2, 5, 1))
    ema, inputs = averaged(net, 0.9), (torch.randn(1, 6, 3), torch.randn(1, 2, 5), torch.zeros(1, 1))
    with torch.no_grad():
        ema.module(*inputs)
        net.out.weight.add_(0.5)  # the bias is not laid out
        ema.update(0)
        alone = ema.module(*inputs)
        with whole_convolutions():
            torch.testing.assert_close(alone, ema.module(*inputs))


def test_ema_forgets_the_start():
    module = nn.Linear(2, 2)
    ema = averaged(module, 0.999)
    module.weight.data.fill_(3.0)
    ema.update(0)
    assert torch.equal(ema.module.weight.data, module.weight.data)
    assert not ema.module.weight.requires_grad


def test_ema_of_what_is_trained_late_forgets_the_start_as_well():
    """100 steps give the same average from step 0 and from step 1000; not told, nine tenths of the start stay."""

    def average(first, starts):
        torch.manual_seed(0)
        module = nn.Linear(2, 2)
        module.weight.data.fill_(100.0)
        ema = averaged(module, 0.999, starts)
        for step in range(first + 100):
            if step >= first:
                module.weight.data.fill_(1.0)
            ema.update(step)
        return ema.module.weight.data

    torch.testing.assert_close(average(0, 0), torch.ones(2, 2))
    torch.testing.assert_close(average(1000, 1000), torch.ones(2, 2))
    assert average(1000, 0).min() > 50


@pytest.mark.parametrize(
    ("family", "late"),
    [(TokensConfig("residual-vq", quantiser_share=0.5, width=8), "family.net."), (MixtureConfig(), "family.student.")],
    ids=["tokens", "mixture"],
)
def test_late_players_are_averaged_from_their_first_step(make_policy, family, late):
    """Weights jump when the last player begins; its average is with it at once, that of the first stays behind."""
    state = TrainState(make_policy(family), TrainConfig(steps=1000))
    first = max(state.span(name)[0] for name in state.players)
    for step in range(first + 1):
        if step == first:
            for parameter in state.policy.parameters():
                parameter.data += 1
        state.ema.update(step)
    moved, followed = dict(state.ema.module.named_parameters()), dict(state.policy.named_parameters())
    with_it = {name for name, value in moved.items() if torch.equal(value, followed[name])}
    assert {name for name in followed if name.startswith(late)} <= with_it
    assert not any(name.startswith(("family.tokenizer.", "family.teacher.")) for name in with_it)


def test_a_player_moves_from_its_first_step_to_its_last(make_policy):
    state = TrainState(make_policy(TokensConfig("residual-vq", quantiser_share=0.5, width=8)), TrainConfig(steps=10))
    moving = []
    for state.step in range(10):
        moving += state.moving()
    assert moving == ["quantiser"] * 5 + ["policy"] * 5


def test_ema_takes_buffers_over():
    module = nn.BatchNorm1d(2)
    ema = averaged(module, 0.999)
    module.running_mean += 1
    module.num_batches_tracked += 3
    ema.update(100)
    assert torch.equal(ema.module.running_mean, module.running_mean)
    assert ema.module.num_batches_tracked == 3


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_ema_decay_is_checked(decay):
    with pytest.raises(ValueError, match=r"`ema_decay` .* must be in \[0, 1\)"):
        averaged(nn.Linear(1, 1), decay)


def schedule(make_policy, **options):
    state = TrainState(make_policy(FlowConfig()), TrainConfig(lr=0.1, **options))
    rates = []
    for step in range(state.cfg.steps + 1):
        state.step = step
        rates.append(state.learning_rate("policy"))
    return torch.tensor(rates)


def test_learning_rate_warms_up_and_falls_to_zero(make_policy):
    rates = schedule(make_policy, steps=100, warmup_steps=10)
    torch.testing.assert_close(rates[:10], torch.arange(1, 11) * 0.01)
    assert rates.argmax() in (9, 10)
    assert (rates[10:].diff() < 0).all()
    assert rates[55].item() == pytest.approx(0.05)
    assert rates[-1] == 0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_run_learns_something(make_policy, steps):
    rates = schedule(make_policy, steps=steps, warmup_steps=500)
    assert (rates[:-1] > 0).all()


def test_without_warm_up(make_policy):
    assert schedule(make_policy, steps=10, warmup_steps=0)[0].item() == pytest.approx(0.1)


def test_tensors_restore_everything(make_policy):
    def state(seed):
        return TrainState(make_policy(FlowConfig(), seed=seed), TrainConfig(lr=0.1, seed=seed))

    def step(state):
        noise = torch.randn(1, generator=state.generator) + torch.randn(1)
        with state.differentiated():
            loss = sum((noise * p.float()).square().sum() for p in state.policy.parameters())
            state.optimizers["policy"].differentiate(loss)
        state.optimizers["policy"].move()
        state.ema.update(state.step)
        state.step += 1

    one, other = state(1), state(2)
    step(one)
    step(one)
    saved = {name: tensor.clone() for name, tensor in one.tensors().items()}
    step(one)
    other.restore(saved, 2)
    step(other)
    assert other.step == 3
    assert one.tensors().keys() == other.tensors().keys()
    unequal = [name for name, tensor in one.tensors().items() if not torch.equal(tensor, other.tensors()[name])]
    assert unequal == []


def test_a_run_from_a_gpu_goes_on_on_a_cpu_and_says_so(make_policy, capsys):
    cfg = TrainConfig(steps=4, batch_size=8, seed=3)
    tensors = TrainState(make_policy(FlowConfig()), cfg).tensors()
    assert "random.cuda" not in tensors
    tensors |= {name: torch.zeros(16, dtype=torch.uint8) for name in ("random.train", "random.cuda")}
    states = [TrainState(make_policy(FlowConfig(), seed=1), cfg) for _ in range(2)]
    for state in states:
        state.restore(dict(tensors), 2)
    assert capsys.readouterr().err.count("trained on a GPU and goes on on a CPU") == 2
    one, other = (torch.rand(3, generator=state.generator) for state in states)
    assert torch.equal(one, other)
    fresh = TrainState(make_policy(FlowConfig()), cfg)
    assert not torch.equal(one, torch.rand(3, generator=fresh.generator))  # not the numbers of the first steps again


def test_a_run_from_a_cpu_goes_on_there_without_a_word(make_policy, capsys):
    state = TrainState(make_policy(FlowConfig()), TrainConfig(steps=4, batch_size=8))
    state.restore(state.tensors(), 2)
    assert capsys.readouterr().err == ""
