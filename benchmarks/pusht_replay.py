"""Replay the human Push-T demonstrations open loop, in PushT-v0 (MuJoCo) and in gym-pusht (pymunk).

    python -m benchmarks.pusht_replay ../shared/data/pusht/pusht_cchi_v7_replay.zarr [--out FILE.json]

Every episode starts in its recorded first state, executes its recorded actions and holds the last one for 8
more steps; success does not end it. `final` is the coverage after the last step, `max` the best on the way,
`track` the block's largest distance from its recorded position [px]. Variants of the physics were tried on
the even episodes; the odd ones were held out. gym-pusht is left out where it is not installed.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import mujoco
import numpy as np
from mujoco.rollout import rollout

from benchmarks.common import keep, options
from envs.pusht import PushT, coverage
from robolearn import seeds
from robolearn.config import to_json
from robolearn.data.store import DemoStore
from robolearn.stats.bootstrap import bootstrap
from robolearn.stats.value import Estimate
from robolearn.types import Episode

HOLD = 8
HALVES = {"even (tried on)": slice(0, None, 2), "odd (held out)": slice(1, None, 2)}

Array = np.ndarray
Numbers = dict[str, Array]  # name -> one number per episode [e]


def main() -> None:
    """Replay, print a table and write the numbers."""
    parser = options(__doc__)
    parser.add_argument("path", type=Path, help="the human demonstrations, pusht_cchi_v7_replay.zarr")
    args = parser.parse_args()

    store = DemoStore.open(args.path)
    count = min(store.num_episodes, 4) if args.dry_run else store.num_episodes
    episodes = [store.episode(i) for i in range(count)]
    numbers = {"mujoco": measure(episodes, replay_mujoco(episodes))}
    if importlib.util.find_spec("gym_pusht"):
        numbers["pymunk"] = measure(episodes, replay_pymunk(episodes))
        ours, theirs = numbers["mujoco"], numbers["pymunk"]
        numbers["mujoco - pymunk"] = {name: ours[name] - theirs[name] for name in ours}

    result = {
        half: {name: summarize(values, chosen, paired="-" in name) for name, values in numbers.items()}
        for half, chosen in HALVES.items()
    }
    for half, rows in result.items():
        print(f"{half}: {len(range(count)[HALVES[half]])} episodes")
        for name, row in rows.items():
            cells = "  ".join(f"{key} {number:.3f}" for key, number in row.items())
            print(f"  {name:16} {cells}")
    keep(args.out, {"halves": to_json(result, {}), "hold": HOLD})


def held_actions(episode: Episode) -> Array:
    """Actions [time + HOLD, 2] with the last one held."""
    return np.pad(episode.actions.astype(np.float64), ((0, HOLD), (0, 0)), mode="edge")


def replay_mujoco(episodes: list[Episode]) -> list[Array]:
    """States [time + HOLD, 5] after every action in PushT-v0, not stopped by success."""
    task = PushT()
    start = np.stack([episode.obs["state"][0] for episode in episodes]).astype(np.float64)
    physics, memory = task.initial_state(start)
    states = []
    for i, episode in enumerate(episodes):
        control = np.repeat(task.control(held_actions(episode)), task.num_substeps, axis=0)
        substates = np.empty((1, len(control), physics.shape[1]))
        rollout(task.model, mujoco.MjData(task.model), physics[i], control, state=substates)
        steps = substates[0, task.num_substeps - 1 :: task.num_substeps]
        states.append(task.observe(steps, memory[i])["state"])
    return states


def replay_pymunk(episodes: list[Episode]) -> list[Array]:
    """The same in gym-pusht."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pygame and pymunk, about their own dependencies
        from gym_pusht.envs.pusht import PushTEnv

        env = PushTEnv(obs_type="state")
    states = []
    for episode in episodes:
        env.reset(seed=seeds.FIXED)
        env._setup()
        state = episode.obs["state"][0].astype(float).tolist()
        # Turning moves the block's origin, so the angle comes first (in the environment's reset: last).
        env.agent.position, env.block.angle, env.block.position = state[:2], state[4], state[2:4]
        states.append(np.array([env.step(action)[0] for action in held_actions(episode)]))
    return states


def measure(episodes: list[Episode], states: list[Array]) -> Numbers:
    """Final and best coverage, and the block's largest distance from the recording [px]."""
    covered = [coverage(state[:, 2:]) for state in states]
    tracks = []
    for episode, state in zip(episodes, states, strict=True):
        recorded = episode.obs["state"][1:, 2:4]  # the state after the last action is not recorded
        tracks.append(np.linalg.norm(state[: len(recorded), 2:4] - recorded, axis=1).max())
    return {
        "final": np.array([c[-1] for c in covered]),
        "max": np.array([c.max() for c in covered]),
        "track": np.array(tracks),
    }


def share_above(values: Array) -> Array:
    """Share of values above 0.90 along the last axis."""
    return (values > 0.90).mean(axis=-1)


def median(values: Array) -> Array:
    """Median along the last axis."""
    return np.median(values, axis=-1)


def summarize(numbers: Numbers, half: slice, *, paired: bool) -> dict[str, Estimate]:
    """Estimates over one half of the episodes; differences (`paired`) have no share above 0.90."""
    final, best, track = (numbers[name][half] for name in ("final", "max", "track"))
    row = {
        "median final": bootstrap(final, median),
        "median max": bootstrap(best, median),
        "median track": bootstrap(track, median),
    }
    if not paired:
        row["final > 0.90"] = bootstrap(final, share_above)
        row["max > 0.90"] = bootstrap(best, share_above)
    return row


if __name__ == "__main__":
    main()
