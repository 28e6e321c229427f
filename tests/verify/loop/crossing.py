"""A small crossing: two lanes around a disc, a code for each, and a network whose codes depend on the place."""

import numpy as np
import torch
from torch import nn

from robolearn.policies.draws import likely, race
from robolearn.verify.loop.cells import Cells
from robolearn.verify.loop.chunked import Crossing
from robolearn.verify.loop.codes import Codes
from robolearn.verify.loop.reachability import Reachability
from robolearn.verify.loop.servo import Servo

STEPS, LANE = 4, 0.12


class Lanes(nn.Module):
    """Chunks toward x = -LANE or +LANE, and on along y; between the lanes either, beside them the near one."""

    def __init__(self, seed=0, wobble=0.01):
        super().__init__()
        torch.manual_seed(seed)
        self.hidden, self.wobble = nn.Linear(2, 8), wobble
        self.out = nn.Linear(8, STEPS * 2)
        self.requires_grad_(False)

    def features(self, o):
        return torch.cat([o, torch.tanh(4 * self.hidden(o))], dim=1)

    def logits(self, f):
        return torch.stack([-60 * f[:, 0], 60 * f[:, 0]], dim=1)

    def chunk(self, f, code):
        x, y = f[:, :1], f[:, 1:2]
        lane = LANE * (2 * code - 1)
        ahead = torch.arange(1, STEPS + 1) * 0.05
        share = torch.tensor([0.6, 0.9, 1.0, 1.0])
        path = torch.stack([x + share * (lane - x), y + ahead], dim=2)
        return path + self.wobble * torch.tanh(self.out(f[:, 2:])).unflatten(1, (STEPS, 2))


class Exploding(Lanes):
    """The same, with features whose bounds are no numbers over boxes of some width: a logistic map, 14 times."""

    def features(self, o):
        y = o[:, :1]
        for _ in range(14):
            y = 4 * y * (1 - y)
        return torch.cat([o, torch.tanh(4 * self.hidden(o)), y], dim=1)

    def logits(self, f):
        return super().logits(f) + f[:, -1:] * torch.tensor([1.0, 2.0])

    def chunk(self, f, code):
        return super().chunk(f[:, :-1], code) + f[:, -1:, None]


def servo(departure=1e-9, wall=0.4):
    walls = torch.full((2,), wall)
    return Servo.critically_damped(3600.0, 1.0, 0.005, 10, -walls, 2 * walls, departure)


def crossing(policy=None, *, floor=0.05, centers=((0.0, 0.0),), radii=(0.06,), **changes):
    policy = policy or Lanes()
    codes = Codes(policy.features, policy.logits, policy.chunk, 2, floor)
    discs = {"centers": torch.tensor(centers).double(), "radii": torch.tensor(radii).double()}
    rest = torch.full((2,), 2.0, dtype=torch.float64)
    return Crossing(
        codes, servo(), **discs, **{"steps": STEPS, "most_steps": 40, "finish": 0.2, "rest": rest, **changes}
    )


def reachability(asked, *, size=0.02, finest=2):
    cells = Cells(np.array([-0.04, -0.3]), np.full(2, size), finest)
    starts = [(0, i, j) for i in range(round(0.08 / size)) for j in range(round(0.04 / size))]
    analysis = Reachability(asked, cells, starts)
    assert analysis.run()
    return analysis


def clearance(asked, states):
    """Distances of states [..., 4] to the discs."""
    apart = (states[..., None, :2] - asked.centers).square().sum(-1).sqrt() - asked.radii
    return apart.amin(-1)


@torch.no_grad()
def rollouts(asked, places, seed=0, policy=None):
    """Least clearance and the end of rollouts [b] from places [b, 2] at rest, codes drawn as the policy draws them."""
    policy, generator = policy or Lanes(), torch.Generator().manual_seed(seed)
    state = torch.cat([places, torch.zeros_like(places)], dim=1)
    least, running = torch.full((len(state),), torch.inf, dtype=torch.float64), torch.ones(len(state), dtype=bool)
    for _ in range(asked.most_steps // STEPS):
        f = policy.features(state[:, :2].float())
        noise = torch.randn(len(state), 2, generator=generator)
        code = race(likely(policy.logits(f), asked.codes.floor), noise)
        chunk = torch.where(code[:, None, None] > 0, policy.chunk(f, 1), policy.chunk(f, 0)).double()
        states = asked.servo.run(state, chunk)
        ends = states[:, asked.servo.substeps - 1 :: asked.servo.substeps, 1] >= asked.finish
        last = torch.where(ends.any(1), ends.int().argmax(1) + 1, STEPS) * asked.servo.substeps
        acting = (torch.arange(states.shape[1]) < last[:, None]) & running[:, None]
        least = torch.minimum(least, torch.where(acting, clearance(asked, states), torch.inf).amin(1))
        running &= ~ends.any(1)
        state = torch.where(running[:, None], states[:, -1], state)
    return least, ~running
