"""What a family or backbone of one's own promises is looked at, and a line says which method broke it."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from robolearn.data.normalizer import Normalizer
from robolearn.errors import UserError
from robolearn.nets.backbone import BackboneConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.family import Family, FamilyConfig, Player
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.training.config import TrainConfig
from robolearn.training.state import TrainState
from robolearn.types import Batch

ROWS, HORIZON, DIM = 3, 4, 2
GOOD_LOSS, GOOD_CHUNKS = (torch.zeros(()), {}), torch.zeros(ROWS, HORIZON, DIM)


class Mine(Family):
    """Returns what it is told to."""

    noise_shape = (0,)

    def __init__(self, cfg, make_net, action_horizon, action_dim):
        super().__init__(cfg, action_horizon, action_dim)
        self.net, self.returned = make_net(action_dim, action_dim, 0), None

    def loss(self, data, draws, *, player="policy"):
        return self.returned

    def sample(self, cond, noise):
        return self.returned


@dataclass(frozen=True)
class MineConfig(FamilyConfig):
    """Options of Mine."""

    def build(self, make_net, action_horizon, action_dim):
        return Mine(self, make_net, action_horizon, action_dim)


@dataclass(frozen=True)
class ForgetfulConfig(FamilyConfig):
    """Builds and does not return."""

    def build(self, make_net, action_horizon, action_dim):
        Mine(self, make_net, action_horizon, action_dim)


@dataclass(frozen=True)
class ForgetfulNetConfig(BackboneConfig):
    """The same of a backbone."""

    def build(self, shapes):
        nn.Linear(1, 1)


def policy_of(family=None, backbone=None):
    shapes = {"state": (4,)}
    cfg = PolicyConfig(family or MineConfig(), backbone or MLPConfig(width=8), shapes, DIM, 2, HORIZON)
    return Policy(cfg, Normalizer({**shapes, "action": (DIM,)}))


BATCH = Batch({"state": torch.zeros(ROWS, 2, 4)}, torch.zeros(ROWS, HORIZON, DIM), torch.ones(ROWS, HORIZON).bool())


@pytest.mark.parametrize(
    ("returned", "line"),
    [
        (torch.zeros(()), r"Mine\.loss returned a tensor \[\]; expected a tensor of a single number, and a dict"),
        ((torch.zeros(3, 4), {}), r"Mine\.loss returned \(a tensor \[3, 4\], a dict\); expected"),
        ((0.5, {}), r"Mine\.loss returned \(a float, a dict\); expected"),
        (None, r"Mine\.loss returned None; expected"),
        ((torch.zeros(()), {"error": "large"}), r"Mine\.loss logs 'error' as a str; expected a tensor"),
    ],
)
def test_a_loss_is_a_number_and_what_is_logged(returned, line):
    policy = policy_of()
    policy.family.returned = returned
    with pytest.raises(UserError, match=line):
        policy.loss(BATCH, {})
    policy.family.returned = GOOD_LOSS
    assert policy.loss(BATCH, {}) == GOOD_LOSS


@pytest.mark.parametrize(
    ("returned", "line"),
    [
        (GOOD_CHUNKS[:, 0], r"Mine\.sample returned a tensor \[3, 2\]; expected a tensor \[3, 4, 2\]"),
        (GOOD_CHUNKS[:1], r"Mine\.sample returned a tensor \[1, 4, 2\]; expected"),  # would be anybody's chunk
        ((GOOD_CHUNKS, {}), r"Mine\.sample returned a tuple; expected"),
    ],
)
def test_a_sample_is_a_chunk_for_each_noise(returned, line):
    policy = policy_of()
    policy.family.returned = returned
    with pytest.raises(UserError, match=line):
        policy.act(BATCH.obs, torch.zeros(ROWS, 0))
    policy.family.returned = GOOD_CHUNKS
    assert policy.act(BATCH.obs, torch.zeros(ROWS, 0)).shape == (ROWS, HORIZON, DIM)


def test_what_is_built_is_returned():
    with pytest.raises(UserError, match=r"ForgetfulConfig\.build returned None; expected a Family"):
        policy_of(family=ForgetfulConfig())
    with pytest.raises(UserError, match=r"ForgetfulNetConfig\.build returned None; expected the network"):
        policy_of(backbone=ForgetfulNetConfig())


NOTHING_TO_TRAIN = Player(nn.Identity())


@pytest.mark.parametrize(
    ("method", "returned", "line"),
    [
        ("players", [NOTHING_TO_TRAIN], r"players returned a list; expected a dict of a Player by name"),
        ("players", {}, r"players returned a dict of nobody; expected"),
        ("players", {"policy": nn.Identity()}, r"players returned a dict of a Identity; expected"),
        ("players", {"policy": NOTHING_TO_TRAIN}, r"players: 'policy' has no parameters"),
        ("draws", None, r"draw returned None; expected a dict of tensors"),
        ("draws", {"time": 0.5}, r"draw draws 'time' as a float; expected a tensor \[3, \.\.\.\]"),
        ("draws", {"time": torch.zeros(())}, r"draw draws 'time' as a tensor \[\]; expected a tensor \[3, "),
        ("validation_draws", {"time": torch.zeros(1)}, r"validation_draws draws 'time' as a tensor \[1\]; expected"),
        ("noise", torch.zeros(2, 1), r"noise returned a tensor \[2, 1\]; expected a tensor \[3, \.\.\.\], a row"),
        ("validation_loss", None, r"validation_loss returned None; expected a tensor \[\]"),
        ("validation_loss", torch.zeros(3), r"validation_loss returned a tensor \[3\]; expected"),
        ("loss", (torch.zeros(()), {"step": torch.ones(())}), r"loss logs 'step', which the training logs; choose"),
    ],
)
def test_what_else_a_family_has_of_its_own_is_looked_at(method, returned, line, monkeypatch):
    monkeypatch.setattr(Mine, method, lambda *_, **__: returned)
    policy, generator = policy_of(), torch.Generator()
    asked = {
        "players": lambda: TrainState(policy, TrainConfig()),
        "draws": lambda: policy.draws(ROWS, generator=generator),
        "validation_draws": lambda: policy.validation_draws(ROWS, generator=generator),
        "noise": lambda: policy.sample(BATCH.obs, 1, generator=generator),
        "validation_loss": lambda: policy.validation_loss(BATCH, {}),
        "loss": lambda: policy.loss(BATCH, {}),
    }
    with pytest.raises(UserError, match=rf"Mine\.{line}"):
        asked[method]()
