"""Several players in one loop: when they move, what they may change, and what a diverging one does."""

import pytest
import torch
from torch import nn

from robolearn.data.windows import Windows
from robolearn.policies.family import Family, Player
from robolearn.policies.flow import Flow
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit
from robolearn.training.state import TrainState
from robolearn.training.step import optimize


class Duel(Family):
    """Two one-number players whose loss reaches the other, too."""

    def __init__(self):
        super().__init__(None, 4, 2)
        self.first, self.late = nn.Linear(1, 1), nn.Linear(1, 1)
        self.begun, self.seen, self.losses, self.breaks_at = [], [], 0, None

    def players(self):
        return {"first": Player(self.first, (0.0, 1.0)), "policy": Player(self.late, (0.25, 1.0), every=2, lr=0.5)}

    def begin(self, player, examples, *, generator):
        data = examples(30)
        assert data.cond.shape[:2] == (30, 2)
        assert data.actions.abs().max() <= 1
        self.begun.append((player, data.cond.sum().item()))

    def draws(self, batch, *, generator, player="policy", progress=0.0):
        self.seen.append((player, progress))
        return {"x": torch.rand(batch, 1, generator=generator)}

    def loss(self, data, draws, *, player="policy"):
        self.losses += 1
        loss = self.first(self.late(draws["x"])).square().mean()
        return loss / (0.0 if self.losses == self.breaks_at else 1.0), {}

    def sample(self, cond, noise):
        return noise

    nfe = 1


@pytest.fixture
def duel(make_policy, monkeypatch):
    """A run of 8 steps, and its windows."""
    from robolearn.policies.flow import FlowConfig

    torch.manual_seed(0)
    monkeypatch.setattr(FlowConfig, "build", lambda *_: Duel())
    policy = make_policy(FlowConfig()).train()
    generator = torch.Generator().manual_seed(0)
    obs, actions = {"state": torch.randn(40, 4, generator=generator)}, torch.rand(40, 2, generator=generator)
    windows = Windows(obs, actions, [20, 40], 2, 4)
    return TrainState(policy, TrainConfig(steps=8, batch_size=4, amp="off", log_every=1, checkpoint_every=3)), windows


def test_players_move_in_their_spans(duel):
    state, windows = duel
    assert fit(state, windows, None, Processes(torch.device("cpu")), Hooks())
    family = state.policy.family
    first = [i for name, i in family.seen if name == "first"]
    late = [progress for name, progress in family.seen if name == "policy"]
    assert first == [i / 8 for i in range(8)]
    assert late == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    assert [name for name, _ in family.begun] == ["first", "policy"]


def test_a_player_changes_its_own_module_only(duel):
    state, windows = duel
    before = {k: v.clone() for k, v in state.policy.state_dict().items()}
    assert state.moving() == ["first"]
    optimize(state, state.policy, windows.batch(torch.arange(4)), slice(0, 4))
    after = state.policy.state_dict()
    assert not torch.equal(before["family.first.weight"], after["family.first.weight"])
    assert torch.equal(before["family.late.weight"], after["family.late.weight"])
    assert all(p.grad is None for p in state.policy.parameters())


def test_each_player_has_its_own_schedule(duel):
    state, _ = duel
    rates = {}
    for state.step in range(8):
        for name in ("first", "policy"):
            start, end = state.span(name)
            if start <= state.step < end:
                rates.setdefault(name, []).append(state.learning_rate(name))
    assert len(rates["first"]) == 8
    assert len(rates["policy"]) == 6
    assert max(rates["first"]) == pytest.approx(state.cfg.lr)
    assert max(rates["policy"]) == pytest.approx(0.5)


def test_a_resumed_run_prepares_again_what_it_is_in_the_midst_of(duel):
    state, windows = duel
    fit(state, windows, None, Processes(torch.device("cpu")), Hooks())
    begun = dict(state.policy.family.begun)
    state.policy.family.begun, state.step = [], 5  # within both spans
    fit(state, windows, None, Processes(torch.device("cpu")), Hooks())
    assert dict(state.policy.family.begun) == begun


@pytest.mark.parametrize(("call", "step", "player"), [(2, 2, "first"), (5, 4, "policy")])
def test_a_diverging_player_stops_the_run_before_it_is_saved(duel, call, step, player):
    state, windows = duel
    state.policy.family.breaks_at = call

    class Saving(Hooks):
        saved = ()

        def checkpoint(self, state):
            self.saved += (state.step,)

        def last_good(self):
            return f"saved {self.saved}"

    saved = "saved ()" if step < 3 else r"saved \(3,\)"
    with pytest.raises(ValueError, match=rf"step {step}: .* player '{player}' is not finite; {saved}"):
        fit(state, windows, None, Processes(torch.device("cpu")), Saving())


def test_the_command_names_the_last_checkpoint(tmp_path, train_main, tiny_flags, demos, monkeypatch):
    out = tmp_path / "run"
    exact = Flow.loss

    def breaking(self, *args, **kwargs):
        loss, details = exact(self, *args, **kwargs)
        breaking.calls += 1
        return loss * (float("nan") if breaking.calls == 6 else 1), details

    breaking.calls = 0
    monkeypatch.setattr(Flow, "loss", breaking)
    flags = [*tiny_flags, "--dataset.path", str(demos), "--out", str(out), "--dataset.validation-fraction", "0"]
    with pytest.raises(ValueError, match=r"step 6: .*last good checkpoint: .*run/checkpoints/00000004; a lower `lr`"):
        train_main([*flags, "--steps", "9", "--checkpoint-every", "4"])
