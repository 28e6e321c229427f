"""--compile: the losses that torch.compile can take are those of the plain training."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from robolearn.policies.gan import GanConfig
from robolearn.training.step import compiled
from robolearn.types import Batch

ROOT = Path(__file__).parents[2]
CGD = GanConfig(objective="wgan-gp", optimizer="cgd")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        ["flow", "--lr", "1e-5"],
        ["gan", "--family.lr", "1e-5"],
        ["gan", "--family.objective", "hinge", "--family.lr", "1e-5"],
    ],
    ids=" ".join,
)
def test_losses_are_those_of_the_plain_training(tmp_path, model, tiny_flags, demos, read_metrics):
    def train(name, *flags):  # in a process of its own: the checks of types in tests are not to be compiled
        family, rest = model[0], [*tiny_flags[1:], *model[1:], "--dataset.path", demos, "--steps", "3", *flags]
        subprocess.run([sys.executable, ROOT / "train.py", family, *rest, "--out", tmp_path / name], check=True)
        losses = [{k: v for k, v in record.items() if k.endswith("loss")} for record in read_metrics(tmp_path / name)]
        return [value for record in losses for value in record.values()]

    # Adam's first steps have the size of the learning rate also where a gradient is but rounding: it is small here.
    assert train("fast", "--compile") == pytest.approx(train("plain"), rel=1e-5, abs=1e-5)


def test_what_cannot_be_compiled_is_refused(make_policy):
    with pytest.raises(ValueError, match=r"`compile`: torch\.compile cannot differentiate twice"):
        compiled(lambda *_: None, make_policy(CGD).family.players())


def test_a_loss_that_is_differentiated_twice_stays_as_it_is(make_policy, monkeypatch):
    calls, nothing = [], (torch.zeros(()), {})
    batch = Batch({}, torch.zeros(1, 4, 2), torch.ones(1, 4, dtype=torch.bool))
    monkeypatch.setattr(torch, "compile", lambda loss: lambda *_, player: calls.append(("fast", player)) or nothing)
    players = make_policy(GanConfig()).family.players()
    loss = compiled(lambda *_, player: calls.append(("plain", player)) or nothing, players)
    for player in ("critic", "policy"):
        loss(batch, {}, player=player)
    assert calls == [("plain", "critic"), ("fast", "policy")]
