"""How often the scripted expert succeeds when it takes over in the middle of an episode, under every disturbance.

An episode is driven by the expert's actions plus correlated noise up to a random step; then the expert takes over.

    python -m benchmarks.take_over --episodes 400
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from benchmarks.common import options
from robolearn import seeds
from robolearn.stats.proportions import wilson

SEED = seeds.CALIBRATION.start
NOISE, MEMORY = 5.0, 0.9  # of the disturbing noise: its size in the expert's, its correlation from step to step
DISTURBANCES = {
    "Avoid": [{}, {"moved": 0.03}, {"moved": 0.06}, {"mass": 2.0}, {"friction": 0.5}],
    "AvoidPixels": [{}, {"moved": 0.03}, {"moved": 0.06}, {"mass": 2.0}, {"friction": 0.5}],
    "Push": [{}, {"moved": 0.05}, {"moved": -0.08}, {"mass": 3.0}, {"friction": 0.5}, {"friction": 2.0}],
    "Insert": [{}, {"moved": 0.01}, {"mass": 3.0}, {"friction": 0.5}, {"friction": 2.0}],
}
LAST = {"Avoid": 80, "AvoidPixels": 90, "Push": 140, "Insert": 45}  # about as long as the expert takes


def success(name: str, disturbance: dict[str, Any], num_episodes: int) -> dict[str, tuple[int, int]]:
    """Successes and episodes: of the expert alone, of noisy driving to the end, and of taking over from it."""
    images = {"num_frames": 0} if name == "AvoidPixels" else {}
    env: Any = gymnasium.make_vec(f"envs:robolearn/{name}-v0", num_envs=num_episodes, **images, **disturbance)
    scale = NOISE * env.task.expert_noise
    result = {}
    for way in ("expert", "noisy", "taken over"):
        rng = np.random.default_rng(SEED)
        begin = np.zeros(num_episodes, int) if way == "expert" else rng.integers(1, LAST[name], num_episodes)
        begin = begin if way == "taken over" else begin * 10_000
        env.reset(seed=SEED)
        noise, ended = np.zeros((num_episodes, 2)), np.zeros(num_episodes, bool)
        counted, step, info = np.ones(num_episodes, bool), 0, {}
        while not ended.all():
            taking = begin == step
            counted &= ~(taking & ended)
            if step:
                env.take_over(taking)
            noise = MEMORY * noise + np.sqrt(1 - MEMORY**2) * scale * rng.standard_normal(noise.shape)
            label, executed = env.expert_action()
            _, _, terminated, truncated, info = env.step(np.where((step < begin)[:, None], label + noise, executed))
            ended, step = terminated | truncated, step + 1
        result[way] = int(info["success"][counted].sum()), int(counted.sum())
    env.close()
    return result


def main() -> None:
    """Print a table row per task and disturbance."""
    parser = options(__doc__)
    parser.add_argument("--episodes", type=int, default=400)
    args = parser.parse_args()
    num_episodes = 2 if args.dry_run else args.episodes
    shown_tasks = {"Insert": DISTURBANCES["Insert"][:2]} if args.dry_run else DISTURBANCES
    print("| task | disturbance | expert | noisy driving | taken over | still running then |")
    print("|---|---|---|---|---|---|")
    for name, disturbances in shown_tasks.items():
        for disturbance in disturbances:
            measured = success(name, disturbance, num_episodes)
            cells = [f"{wilson(good, n):.3f}" for good, n in measured.values()]
            shown = ", ".join(f"{key} {value:g}" for key, value in disturbance.items()) or "none"
            print(f"| {name} | {shown} | {' | '.join(cells)} | {measured['taken over'][1]} |", flush=True)


if __name__ == "__main__":
    main()
