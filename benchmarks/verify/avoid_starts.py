"""The start box of Avoid, cell by cell: proved, falsified or open; and the attempts to falsify it."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from torch import Tensor

from envs.avoid import FINISH_Y, Avoid, clearance
from robolearn import seeds
from robolearn.policies.coded import Coded
from robolearn.policies.draws import likely, race
from robolearn.policies.policy import Policy
from robolearn.policies.tokens import Tokens
from robolearn.verify.loop.chunked import Crossing
from robolearn.verify.loop.reachability import Reachability

MOST_PATHS = 20_000  # of codes that are followed from the starts of a batch, at a time
SHARES = np.array([[0.5, 0.5], [0.1, 0.1], [0.1, 0.9], [0.9, 0.1], [0.9, 0.9]])  # where in a cell rods start


@dataclass(frozen=True)
class Starts:
    """Cells of the start box.

    Attributes:
        lower: Corners [k, 2], [m].
        upper: Corners [k, 2], [m].
        proved: Whether every rod from a cell crosses, bool [k].
        falsified: Whether a rod from a cell was found that does not, bool [k].
    """

    lower: np.ndarray
    upper: np.ndarray
    proved: np.ndarray
    falsified: np.ndarray

    @classmethod
    def from_reachability(cls, reachability: Reachability) -> Starts:
        """What is proved; nothing is falsified yet."""
        lower, upper = map(np.array, zip(*(reachability.cells.box(cell) for cell in reachability.leaves), strict=True))
        proved = np.array([cell in reachability.proved for cell in reachability.leaves])
        return cls(lower, upper, proved, np.zeros_like(proved))

    @property
    def areas(self) -> np.ndarray:
        """Of the cells, as shares of the box."""
        areas = (self.upper - self.lower).prod(axis=1)
        return areas / areas.sum()

    def shares(self) -> dict[str, float]:
        """Of the box's area."""
        proved, falsified = float(self.areas[self.proved].sum()), float(self.areas[self.falsified].sum())
        return {"proved": proved, "falsified": falsified, "open": 1.0 - proved - falsified}

    def proved_at(self, places: np.ndarray) -> np.ndarray:
        """Whether places [n, 2] lie in proved cells, bool [n]."""
        inside = ((self.lower <= places[:, None]) & (places[:, None] <= self.upper)).all(axis=2)
        return np.asarray((inside & self.proved).max(axis=1))

    def text(self) -> str:
        """A word for every cell: lower corner and sides in micrometers, and p, f or o for what is known of it."""
        numbers = np.rint(np.concatenate([self.lower, self.upper - self.lower], axis=1) * 1e6).astype(int)
        status = np.where(self.proved, "p", np.where(self.falsified, "f", "o"))
        return " ".join(",".join(map(str, row)) + one for row, one in zip(numbers.tolist(), status, strict=True))

    def random_codes(self, crossing: Crossing, policy: Policy, number: int) -> dict[str, int]:
        """Rods from proved cells, as many in a cell as its area says, with codes drawn at random above the floor."""
        if not self.proved.any():
            return {"rods": 0, "touched_or_late": 0}
        rng, generator = np.random.default_rng(seeds.FIXED), torch.Generator().manual_seed(seeds.FIXED)
        weights = np.where(self.proved, self.areas, 0.0)
        cell = rng.choice(len(weights), number, p=weights / weights.sum())
        position = self.lower[cell] + rng.random((number, 2)) * (self.upper - self.lower)[cell]
        state, good = _at_rest(position), np.ones(number, bool)
        running = good.copy()
        for asked in range(-(-crossing.most_steps // crossing.steps)):
            rods = np.flatnonzero(running)
            logits, features = _asked(policy, state[rods])
            noise = torch.randn(len(rods), logits.shape[1], generator=generator)
            code = race(likely(logits, crossing.codes.floor), noise)
            after, clear, arrived = _execute(crossing, state[rods], _chunks(policy, features, code), asked)
            state[rods] = after
            good[rods] &= clear
            running[rods] = clear & ~arrived
            if not running.any():
                break
        return {"rods": number, "touched_or_late": int((~good | running).sum())}


def try_all_codes(crossing: Crossing, policy: Policy, starts: Starts) -> np.ndarray:
    """Which cells have a start, and codes above the floor, that touch or are late in MuJoCo, bool [k]."""
    falsified = np.zeros_like(starts.proved)
    for share in SHARES:
        cells = np.flatnonzero(~starts.proved & ~falsified)
        if not len(cells):
            break
        positions = starts.lower[cells] + share * (starts.upper - starts.lower)[cells]
        for cell, position, codes in zip(cells, positions, _failing_codes(crossing, policy, positions), strict=True):
            falsified[cell] = codes is not None and _fails_in_mujoco(crossing, policy, position, codes)
    return falsified


def _failing_codes(crossing: Crossing, policy: Policy, positions: np.ndarray) -> list[tuple[int, ...] | None]:
    """Of each place codes after which a rod touches or is late, or None; all codes above the floor are followed."""
    failing: list[tuple[int, ...] | None] = [None] * len(positions)
    state, rod = _at_rest(positions), np.arange(len(positions))
    path = np.zeros((len(positions), 0), int)
    for asked in range(-(-crossing.most_steps // crossing.steps)):
        if len(state) > MOST_PATHS:
            keep = np.random.default_rng(seeds.FIXED).choice(len(state), MOST_PATHS, replace=False)
            state, rod, path = state[keep], rod[keep], path[keep]
        logits, features = _asked(policy, state)
        row, code = torch.isfinite(likely(logits, crossing.codes.floor)).nonzero(as_tuple=True)
        after, clear, arrived = _execute(crossing, state[row], _chunks(policy, features[row], code), asked)
        path, rod = np.c_[path[row], code.numpy()], rod[row]
        for i in np.flatnonzero(~clear):
            if failing[rod[i]] is None:
                failing[rod[i]] = tuple(path[i].tolist())
        going = clear & ~arrived & np.array([failing[i] is None for i in rod], bool)
        state, rod, path = after[going], rod[going], path[going]
        if not len(state):
            return failing
    for i, codes in zip(rod.tolist(), path.tolist(), strict=True):
        failing[i] = tuple(codes)
    return failing


def _coded(policy: Policy) -> Coded:
    assert isinstance(policy.family, Tokens), "the recipe says so"
    return policy.family.coded()


@torch.no_grad()
def _asked(policy: Policy, state: np.ndarray) -> tuple[Tensor, Tensor]:
    """Logits and features of states [n, 4], as the policy has them in float32."""
    coded = _coded(policy)
    features = coded.features(policy.encode({"pos": torch.from_numpy(state[:, None, :2]).float()}))
    return coded.logits(features), features


@torch.no_grad()
def _chunks(policy: Policy, features: Tensor, codes: Tensor) -> np.ndarray:
    """Chunks [n, t, 2] of codes [n]."""
    coded, chunks = _coded(policy), torch.empty(len(features), *policy.family.chunk_shape)
    for code in codes.unique().tolist():
        rows = codes == code
        chunks[rows] = coded.chunk(features[rows], code)
    return policy.normalizer.unnormalize("action", chunks).double().numpy()


def _execute(crossing: Crossing, state: np.ndarray, chunks: np.ndarray, asked: int) -> tuple[np.ndarray, ...]:
    """States after chunks, whether nothing was touched until the finish, and whether that was reached in time."""
    steps = min(crossing.steps, crossing.most_steps - asked * crossing.steps)
    states = crossing.servo.run(torch.from_numpy(state), torch.from_numpy(chunks[:, :steps])).numpy()
    substeps = crossing.servo.substeps
    behind = states[:, substeps - 1 :: substeps, 1] >= FINISH_Y
    until = np.where(behind.max(axis=1), behind.argmax(axis=1) + 1, steps) * substeps
    acting = np.arange(states.shape[1]) < until[:, None]
    clear = np.where(acting, clearance(states[..., :2]), np.inf).min(axis=1) > 0
    return states[:, -1], clear, behind.max(axis=1)


def _fails_in_mujoco(crossing: Crossing, policy: Policy, position: np.ndarray, codes: tuple[int, ...]) -> bool:
    """Whether the task itself, with the real policy asked for these codes, ends without success."""
    task = Avoid()
    data = mujoco.MjData(task.model)
    data.qpos[:] = position
    for asked, code in enumerate(codes):
        logits, features = _asked(policy, np.r_[data.qpos, data.qvel][None])
        if not torch.isfinite(likely(logits, crossing.codes.floor))[0, code]:
            return False
        chunk = _chunks(policy, features, torch.tensor([code]))[0]
        for target in chunk[: crossing.most_steps - asked * crossing.steps]:
            data.ctrl[:] = task.control(target)
            for _ in range(task.num_substeps):
                mujoco.mj_step(task.model, data)
                if clearance(data.qpos[None])[0] <= 0:
                    return True
            if data.qpos[1] >= FINISH_Y:
                return False
    return len(codes) * crossing.steps >= crossing.most_steps


def _at_rest(positions: np.ndarray) -> np.ndarray:
    return np.concatenate([positions, np.zeros_like(positions)], axis=1)
