"""Two arms hand a cube over in gym-aloha: a policy from 100 demonstrations of a scripted expert.

    python -m benchmarks.world.aloha --out docs/results/world.json

It needs gym-aloha, and an hour and a half on two cores. The demonstrations are the expert's successes from seeds 0,
1, ...; train.py and eval.py do the rest. Three trainings of each family, 100 episodes each from starts that no
demonstration had. What is complete is not made again.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np

import robolearn as rl
from benchmarks.common import keep_part, options
from benchmarks.world.commands import add_choices, policies
from robolearn import seeds
from robolearn.config import read_json, write_json

ENV = "benchmarks.world.aloha_task:world/AlohaTransferCube-v0"
DEMONSTRATIONS, EPISODES, STEPS = 100, 100, 9_000
NOISE = 0.02  # [rad] of what is executed, so that the data show how to recover


def collect(out: Path, wanted: int) -> int:
    """Record so many successes of the expert; return how many episodes it took.

    Recorded is what the expert wants; executed is that with noise.
    """
    from benchmarks.world.aloha_task import expert

    env, attempts = gym.make(ENV, disable_env_checker=True), 0
    attrs = rl.StoreAttrs(env_id=ENV, control_dt=0.02, obs_keys=("state",), expert="scripted, inverse kinematics")
    with rl.DemoWriter.create(out, attrs=attrs) as store:
        while store.num_episodes < wanted:
            seed = seeds.DEMONSTRATIONS[attempts]
            attempts += 1
            observation, _ = env.reset(seed=seed)
            rows, done = [], False
            plan = expert(env, observation[14:17])
            noise = np.random.default_rng(seed).normal(0, NOISE, plan.shape)
            for action in plan + noise:
                rows.append(observation)
                observation, _, _, _, info = env.step(action)
                if done := bool(info["is_success"]):
                    break
            if done:
                state = np.stack(rows).astype(np.float32)
                actions = plan[: len(rows)].astype(np.float32)
                store.append(rl.Episode({"state": state}, actions, {"seed": seed}))
    return attempts


def main() -> None:
    """Collect, train, evaluate, keep."""
    parser = options(__doc__)
    add_choices(parser)
    given = parser.parse_args()
    demonstrations, episodes, count, steps = (
        (2, 2, 1, 2) if given.dry_run else (DEMONSTRATIONS, EPISODES, given.trainings, STEPS)
    )
    given.work.mkdir(parents=True, exist_ok=True)
    store, facts = given.work / "aloha.zarr", given.work / "aloha.json"
    if not facts.exists():
        write_json(facts, {"episodes": demonstrations, "attempts": collect(store, demonstrations)})
    training, evaluation = {"--steps": steps, "--env.no-clip": None}, {"--episodes": episodes, "--trust": None}
    measured = policies(given.policies, given.work / "aloha", store, count, training, evaluation)
    results = {"env": ENV, "demonstrations": read_json(facts), "steps": steps, "policies": measured}
    keep_part(given.out, "aloha", results)


if __name__ == "__main__":
    main()
