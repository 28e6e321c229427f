"""Does an ensemble of learned dynamics know what it has not seen, and does that help planning? On a cart and pole.

    python -m benchmarks.dynamics [--part doubt] [--out docs/results/dynamics.json]

The system is gymnasium's InvertedPendulum-v5, made a swing-up: the pole hangs at first, turns freely, an episode never
ends early and an action lasts three physics steps (0.06 s); the motor adds noise that nobody is told. Declared before
the seeds below were measured:

* doubt: trained on transitions of the lower half (pole more than 90 degrees from upright, speeds below SPEEDS); asked
  about fresh ones of it, of the upper half, and of the lower half with up to three times its speeds. Score: log of the
  product over the state's numbers of the variance, in units of the changes' variance. AUROC of unseen against seen, of
  the epistemic variance of 5 members, of their aleatoric variance, and of the variance of a single network. The ratio
  is that of the medians of the geometric mean over the state's numbers of the epistemic variance;
* tube: 5 members, trained on 20 episodes of random actions that are held for five steps; in other such episodes, from
  a random step on, the distance of the true position (cart [m], pole [rad]) to the mean over 20 TSinf particles under
  the actions commanded, HORIZON steps ahead. Scale from 100 episodes, threshold from 200, coverage on 500 others;
* planning: a trial is 50 steps of reward (1 + cos angle) / 2 - 0.1 x^2, the first one random. REACHED, the mean reward
  that counts as solved, is 0.9 of what the same planner has with the simulator itself as its model (median of 3 trials,
  0.75). Claim: solved within 12 trials of planning on at least 4 of 5 seeds, and the median over seeds of the mean
  over these trials above that of the deterministic single network.

Sizes, the number of trials among them, were settled on seed 99, which is not among those measured. A finished piece
is kept in the result file and not measured again. Takes about seven minutes of one core.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch
from gymnasium.envs.mujoco.inverted_pendulum_v5 import InvertedPendulumEnv
from mujoco import rollout
from torch import Tensor

from benchmarks.common import keep, options
from robolearn.config import read_json, to_json
from robolearn.dynamics.config import SEARCHES, CEMConfig, PlannerConfig
from robolearn.dynamics.ensemble import DynamicsConfig, DynamicsEnsemble, split_variance
from robolearn.dynamics.fit import Transitions, fit_dynamics
from robolearn.dynamics.plan import ModelReturns, Planner
from robolearn.dynamics.propagate import Dynamics, draw, propagate
from robolearn.errors import user_errors
from robolearn.nets.descent import FitConfig
from robolearn.stats.proportions import beta_binomial_interval
from robolearn.trust.conformal.thresholds import threshold_rank
from robolearn.trust.conformal.tubes import tube, tube_scale, union_tube
from robolearn.trust.detection import detection

FORCE, FRAMES, MOTOR_NOISE = 3.0, 3, 0.15  # largest action, physics steps per action, standard deviation added to it
SPEEDS = np.array([2.0, 6.0])  # largest, of cart [m/s] and pole [rad/s]
STEPS = 50
REACHED = 0.68
ALPHA, HORIZON = 0.1, 15
ENSEMBLE = DynamicsConfig(state_dim=4, action_dim=1, angles=(1,), num_members=5, hidden=128, depth=2)
SINGLE = DynamicsConfig(state_dim=4, action_dim=1, angles=(1,), num_members=1, hidden=128, depth=2)
DETERMINISTIC = DynamicsConfig(4, 1, angles=(1,), num_members=1, hidden=128, depth=2, probabilistic=False)
PLANNER = PlannerConfig(horizon=HORIZON, propagation="tsinf", search=CEMConfig(iterations=3))  # the default then

FIT = FitConfig(steps=1000, batch_size=32)


@dataclass(frozen=True)
class Size:
    """How much is trained and measured."""

    fit: FitConfig = FIT
    trials: int = 12
    """Of planning."""
    planner: PlannerConfig = PLANNER
    seeds: int = 5


DRY = Size(FitConfig(steps=2), 1, dataclasses.replace(PLANNER, search=CEMConfig(8, 2, 1)), 1)
LOW, HIGH = torch.tensor([-FORCE]), torch.tensor([FORCE])


class CartPole:
    """The physics, for many states at once; a state is x [m], angle [rad, 0 upright], and their speeds."""

    num_members = 1

    def __init__(self) -> None:
        self.model = InvertedPendulumEnv().model
        self.model.jnt_limited[1] = 0
        self.data = mujoco.MjData(self.model)

    def after(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """States [n, 4] after actions [n, 1], without the motor's noise."""
        start = np.concatenate([np.zeros((len(states), 1)), states], axis=1)  # with the time
        control = np.repeat(actions[:, None], FRAMES, axis=1)
        path, _ = rollout.rollout(self.model, self.data, start, control)
        return np.asarray(path)[:, -1, 1:]

    def step(self, states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """States [n, 4] after actions [n, 1] of a noisy motor."""
        return self.after(states, actions + MOTOR_NOISE * rng.standard_normal(actions.shape))

    def __call__(self, states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """As a model to plan in: one member that is right, but for the noise."""
        mean = self.after(states[0].double().numpy(), actions[0].double().numpy())
        return torch.from_numpy(mean).float()[None], torch.zeros_like(states)


def hanging(num: int, rng: np.random.Generator) -> np.ndarray:
    """First states of episodes [num, 4]."""
    return np.array([0.0, np.pi, 0.0, 0.0]) + rng.uniform(-0.05, 0.05, (num, 4))


def smooth_actions(num: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Random actions [num, steps, 1], each held for five steps."""
    drawn = rng.uniform(-FORCE, FORCE, (num, -(-steps // 5), 1))
    return np.repeat(drawn, 5, axis=1)[:, :steps]


def episodes(system: CartPole, num: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """States [num, STEPS + 1, 4] and actions [num, STEPS, 1] of random smooth actions."""
    actions, states = smooth_actions(num, STEPS, rng), [hanging(num, rng)]
    for t in range(STEPS):
        states.append(system.step(states[-1], actions[:, t], rng))
    return np.stack(states, axis=1), actions


def flat(states: np.ndarray, actions: np.ndarray) -> Transitions:
    """All transitions of episodes."""
    return Transitions(states[:, :-1].reshape(-1, 4), actions.reshape(-1, 1), states[:, 1:].reshape(-1, 4))


# Doubt


def region(system: CartPole, name: str, num: int, rng: np.random.Generator) -> Transitions:
    """Transitions from states that are uniform over a region: "lower", "upper" or "fast"."""
    center = 0.0 if name == "upper" else np.pi
    speeds = rng.uniform(-SPEEDS, SPEEDS, (num, 2))
    if name == "fast":
        speeds = np.sign(speeds) * rng.uniform(SPEEDS, 3 * SPEEDS, (num, 2))
    positions = rng.uniform([-0.8, center - np.pi / 2], [0.8, center + np.pi / 2], (num, 2))
    states, actions = np.concatenate([positions, speeds], axis=1), rng.uniform(-FORCE, FORCE, (num, 1))
    return Transitions(states, actions, system.step(states, actions, rng))


def variances(model: DynamicsEnsemble, data: Transitions) -> dict[str, np.ndarray]:
    """Log of the product over the state's numbers of each variance, in units of the changes' variance."""
    k = model.num_members
    with torch.no_grad():
        mean, var = model(*(torch.from_numpy(x).float().expand(k, -1, -1) for x in (data.states, data.actions)))
    unit = model.normalizer.get_buffer("delta_scale").square()
    parts = zip(("epistemic", "aleatoric"), split_variance(mean, var), strict=True)
    return {name: (v / unit).clamp_min(1e-30).log().sum(-1).double().numpy() for name, v in parts}


def measure_doubt(seed: int, size: Size) -> dict[str, Any]:
    """AUROC of unseen against seen, of one training."""
    system, rng = CartPole(), np.random.default_rng(seed)
    train = region(system, "lower", 1000, rng)
    tests = {name: region(system, name, 500, rng) for name in ("lower", "upper", "fast")}
    ensemble, single = (fit_dynamics(cfg, train, size.fit, seed=seed) for cfg in (ENSEMBLE, SINGLE))
    scores = {name: variances(ensemble, data) for name, data in tests.items()}
    alone = {name: variances(single, data)["aleatoric"] for name, data in tests.items()}
    doubt: dict[str, Any] = {}
    for name in ("upper", "fast"):
        seen = np.arange(1000) < 500
        rows = {kind: np.concatenate([scores["lower"][kind], scores[name][kind]]) for kind in scores[name]}
        rows["single network"] = np.concatenate([alone["lower"], alone[name]])
        ones = np.ones(1000, int)
        doubt[name] = {
            "auroc": {
                kind: to_json(detection(row[:, None], ones, seen, np.inf, seed=seed).roc_auc, {})
                for kind, row in rows.items()
            },
            "epistemic_ratio": float(
                np.exp((np.median(scores[name]["epistemic"]) - np.median(scores["lower"]["epistemic"])) / 4)
            ),
        }
    return doubt


def measure_tube(seed: int, size: Size) -> dict[str, Any]:
    """Coverage of tubes around the ensemble's mean prediction, on fresh episodes."""
    system, rng = CartPole(), np.random.default_rng(100 + seed)
    ensemble = fit_dynamics(ENSEMBLE, flat(*episodes(system, 20, rng)), size.fit, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    errors = []
    for states, actions in zip(*episodes(system, 800, rng), strict=True):
        start = int(rng.integers(STEPS - HORIZON + 1))
        plan = torch.from_numpy(actions[None, start : start + HORIZON]).float()
        noise = draw("tsinf", 20, HORIZON, 5, 4, generator)
        with torch.no_grad():
            path = propagate(ensemble, torch.from_numpy(states[start]).float(), plan, noise)
        gap = path.mean(2)[:, 0].numpy() - states[start + 1 : start + 1 + HORIZON]
        errors.append(np.linalg.norm(gap[:, :2], axis=1))
    scale, calibration, test = np.split(np.array(errors, float), [100, 300])
    radii = {"normalised": tube(calibration, tube_scale(scale), ALPHA), "union": union_tube(calibration, ALPHA)}
    k = threshold_rank(len(calibration), ALPHA)
    return {
        "law_95": list(beta_binomial_interval(len(test), k, len(calibration) + 1 - k)),
        "covered": {name: float((test <= radius).all(1).mean()) for name, radius in radii.items()},
        "mean_radius": {name: float(radius.mean()) for name, radius in radii.items()},
        "last_radius": float(radii["normalised"][-1]),
    }


# Planning


def reward(before: Tensor, actions: Tensor, states: Tensor) -> Tensor:
    """Of the states [..., 4] that actions lead to, at most 1; actions are free."""
    return (1 + states[..., 1].cos()) / 2 - 0.1 * states[..., 0].square()


def trial(system: CartPole, act: Callable[[Tensor], Tensor], rng: np.random.Generator) -> tuple[Transitions, float]:
    """One episode: its transitions and its mean reward."""
    states, actions = [hanging(1, rng)], []
    for _ in range(STEPS):
        actions.append(act(torch.from_numpy(states[-1][0]).float()).double().numpy()[None])
        states.append(system.step(states[-1], actions[-1], rng))
    path = np.stack(states, axis=1)
    data = flat(path, np.stack(actions, axis=1))
    before, after = torch.from_numpy(path[0, :-1]), torch.from_numpy(path[0, 1:])
    return data, float(reward(before, torch.zeros(STEPS, 1), after).mean())


def planner(model: Dynamics, num_particles: int, seed: int, size: Size) -> Planner:
    """The same search whatever the model."""
    cfg = dataclasses.replace(size.planner, num_particles=num_particles)
    generator = torch.Generator().manual_seed(seed)
    return Planner(ModelReturns(model, reward, cfg, generator=generator), LOW, HIGH, cfg, generator=generator)


def measure_ceiling(seed: int, size: Size) -> dict[str, Any]:
    """Mean reward of planning in the simulator itself."""
    system = CartPole()
    return {"reward": trial(system, planner(system, 1, seed, size).act, np.random.default_rng(seed))[1]}


def measure_planning(cfg: DynamicsConfig, num_particles: int, seed: int, size: Size) -> dict[str, Any]:
    """Mean reward of every trial; each plans in a model of all transitions before."""
    system, rng = CartPole(), np.random.default_rng(seed)
    first = iter(smooth_actions(1, STEPS, rng)[0])
    data, start = trial(system, lambda _: torch.from_numpy(next(first)).float(), rng)
    rewards, clock = [], time.process_time()
    for number in range(size.trials):
        model = fit_dynamics(cfg, data, size.fit, seed=1000 * seed + number)
        more, value = trial(system, planner(model, num_particles, 1000 * seed + number, size).act, rng)
        pairs = zip(vars(data).values(), vars(more).values(), strict=True)
        data = Transitions(*(np.concatenate(pair) for pair in pairs))
        rewards.append(value)
    return {"random": start, "rewards": rewards, "cpu_s": time.process_time() - clock}


def summary(pieces: dict[str, Any], size: Size) -> dict[str, Any]:
    """What the claims come down to."""
    rewards = {
        name: np.array([pieces[f"{name} {seed}"]["rewards"] for seed in range(size.seeds)])
        for name in ("ensemble", "deterministic")
    }
    solved = {name: (r >= REACHED).any(1) for name, r in rewards.items()}
    median = {name: float(np.median(r.mean(1))) for name, r in rewards.items()}
    shown = int(solved["ensemble"].sum()) >= 4 and median["ensemble"] > median["deterministic"]
    return {
        "reached": REACHED,
        "first_solved_trial": {
            name: [int(r.argmax()) + 1 if r.any() else None for r in rows >= REACHED] for name, rows in rewards.items()
        },
        "median_of_mean_reward": median,
        "median_reward_by_trial": {name: np.median(r, axis=0).tolist() for name, r in rewards.items()},
        "claim": "shown" if shown else "not shown",
    }


def make_parts(size: Size) -> dict[str, dict[str, Callable[[], dict[str, Any]]]]:
    """Part -> piece -> what measures it."""
    ways = (("ensemble", ENSEMBLE, 10), ("deterministic", DETERMINISTIC, 1))
    few = range(min(2, size.seeds))
    return {
        "doubt": {
            **{f"doubt {seed}": partial(measure_doubt, seed, size) for seed in range(size.seeds)},
            **{f"tube {seed}": partial(measure_tube, seed, size) for seed in few},
        },
        "planning": {
            **{f"ceiling {seed}": partial(measure_ceiling, seed, size) for seed in range(min(3, size.seeds))},
            **{
                f"{name} {seed}": partial(measure_planning, cfg, particles, seed, size)
                for seed in range(size.seeds)
                for name, cfg, particles in ways
            },
        },
    }


PARTS = ("doubt", "planning")


def main() -> None:
    """Measure what is not there yet, write and show."""
    parser = options(__doc__, default=Path("docs/results/dynamics.json"))
    parser.add_argument("--part", choices=PARTS, help="doubt or planning; by default both")
    cfg = parser.parse_args()
    torch.set_num_threads(1)
    size = DRY if cfg.dry_run else Size()
    parts = make_parts(size)
    settings = {
        "ensemble": to_json(ENSEMBLE, {}),
        "fit": to_json(size.fit, {}),
        "planner": to_json(size.planner, SEARCHES),
    }
    pieces = read_json(cfg.out)["pieces"] if cfg.out.exists() else {}
    for part in [cfg.part] if cfg.part else PARTS:
        for name, measure in parts[part].items():
            if name not in pieces:
                pieces[name] = measure()
                keep(cfg.out, {**settings, "pieces": pieces})
                print(name, pieces[name], flush=True)
    if set(parts["planning"]) <= set(pieces):
        planning = summary(pieces, size)
        keep(cfg.out, {**settings, "planning": planning, "pieces": pieces})
        print(planning)


if __name__ == "__main__":
    with user_errors():
        main()
