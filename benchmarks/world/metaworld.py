"""Meta-World from demonstrations of its own scripted policies: collect, then train.py and eval.py as anybody would.

    python -m benchmarks.world.metaworld --out docs/results/world.json

It needs metaworld 3, which asks for a MuJoCo of its own: install both into an environment beside this one. Policies are
evaluated at other goals than those that were demonstrated: another seed of the environment draws them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from benchmarks.common import keep_part, options
from benchmarks.world.commands import add_choices, policies
from robolearn import DemoWriter, Episode, StoreAttrs, seeds
from robolearn.config import read_json, write_json

TASKS = {"reach-v3": 3_000, "drawer-open-v3": 3_000, "assembly-v3": 9_000, "peg-insert-side-v3": 9_000}
"""Name -> training steps."""
ENV_ID, CONTROL_DT = "metaworld:Meta-World/MT1", 0.0125  # [s], 5 steps of 2.5 ms
EPISODES = 100
# Another seed draws other goals; 200 steps are enough, demonstrations take up to 95.
EVALUATION = {
    "--env.kwargs": ("seed", 1),
    "--env.stop-on-success": None,
    "--env.max-episode-steps": 200,
    "--num-envs": 1,
}
AFTER = 5  # steps that are recorded after a success


def main() -> None:
    """Measure every task, and keep the numbers of each as soon as they are there."""
    parser = options(__doc__)
    add_choices(parser)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=tuple(TASKS))
    given = parser.parse_args()
    episodes, count = (4, 1) if given.dry_run else (EPISODES, given.trainings)
    given.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for task in given.tasks:
        steps = 2 if given.dry_run else TASKS[task]
        store, facts = given.work / f"{task}.zarr", given.work / f"{task}.json"
        if not facts.exists():
            write_json(facts, collect(store, task, episodes))
        evaluation = {"--episodes": episodes, **EVALUATION}
        measured = policies(given.policies, given.work / task, store, count, {"--steps": steps}, evaluation)
        results[task] = {"demonstrations": read_json(facts), "steps": steps, "policies": measured}
        keep_part(given.out, "metaworld", results)


def collect(path: Path, task: str, episodes: int) -> dict[str, Any]:
    """Record Meta-World's scripted policy until shortly after its success."""
    from metaworld.policies import ENV_POLICY_MAP  # pyright: ignore[reportMissingImports]

    kwargs = {"env_name": task, "seed": seeds.FIXED, "num_goals": episodes}
    env: Any = gymnasium.make(ENV_ID, **kwargs)
    policy, starts, attempts = ENV_POLICY_MAP[task](), set(), 0
    attrs = StoreAttrs(env_id=ENV_ID, env_kwargs=kwargs, control_dt=CONTROL_DT, obs_keys=("state",), expert="scripted")
    with DemoWriter.create(path, attrs=attrs) as store:
        while store.num_episodes < episodes:
            env.unwrapped.seed(seeds.DEMONSTRATIONS.start + attempts)
            episode = demonstrate(env, policy)
            attempts += 1
            if episode is not None:
                starts.add(episode.obs["state"][0].tobytes())
                store.append(episode)
    env.close()
    return {"episodes": episodes, "attempts": attempts, "distinct_starts": len(starts)}


def demonstrate(env: Any, policy: Any) -> Episode | None:
    """One episode; None where the scripted policy fails."""
    seen, actions, left = [env.reset()[0]], [], AFTER
    while left:
        actions.append(np.clip(policy.get_action(seen[-1]), -1, 1).astype(np.float32))
        obs, _, terminated, truncated, info = env.step(actions[-1])
        seen.append(obs)
        if terminated or truncated:
            return None
        left -= bool(info["success"]) or left < AFTER
    return Episode({"state": np.array(seen[:-1], np.float32)}, np.array(actions))


if __name__ == "__main__":
    main()
