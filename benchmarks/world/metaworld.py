"""Meta-World from demonstrations of its own scripted policies: collect, then train.py and eval.py as anybody would.

    python -m benchmarks.world.metaworld --out benchmarks/world/raw/metaworld.json

It needs metaworld 3, which asks for a MuJoCo of its own: install both into an environment beside this one. Policies are
evaluated at other goals than those that were demonstrated: another seed of the environment draws them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from benchmarks.common import keep, options
from robolearn import DemoWriter, Episode, StoreAttrs, seeds
from robolearn.config import read_json

TASKS = ("reach-v3", "drawer-open-v3")
ENV_ID, CONTROL_DT = "metaworld:Meta-World/MT1", 0.0125  # [s], 5 steps of 2.5 ms
LONGEST = 200  # steps of an episode that is evaluated; demonstrations take up to 95
AFTER = 5  # steps that are recorded after a success
HERE = Path(__file__).parents[2]


def main() -> None:
    """Measure every task, and keep the numbers of each as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("--episodes", type=int, default=100, help="demonstrations, and episodes of the evaluation")
    parser.add_argument("--steps", type=int, default=3000, help="of training")
    given = parser.parse_args()
    episodes, steps = (4, 20) if given.dry_run else (given.episodes, given.steps)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for task in TASKS:
            results[task] = measure(Path(folder) / task, task, episodes, steps)
            keep(given.out, results)
            print(task, results[task])


def measure(folder: Path, task: str, episodes: int, steps: int) -> dict[str, Any]:
    """Collect, train, evaluate."""
    folder.mkdir()
    facts = collect(folder / "demos.zarr", task, episodes)
    run("train", "flow", "mlp", "--dataset.path", folder / "demos.zarr", "--steps", steps, "--batch-size", 64,
        "--backbone.width", 192, "--no-wandb", "--threads", 1, "--out", folder / "run")  # fmt: skip
    run("eval", folder / "run", "--episodes", episodes, "--num-envs", 1, "--videos", 0, "--threads", 1,
        "--env.kwargs", "seed", 1, "--env.stop-on-success", "--env.max-episode-steps", LONGEST)  # fmt: skip
    return {"demonstrations": facts, "training_steps": steps, **read_json(folder / "run" / "eval" / "summary.json")}


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


def run(verb: str, *arguments: Any) -> None:
    """A command of robolearn, as a user types it."""
    command = [sys.executable, "-W", "ignore", "-m", "robolearn", verb, *map(str, arguments)]
    subprocess.run(command, check=True, cwd=HERE)


if __name__ == "__main__":
    main()
