"""How fast images are drawn in every look, and a picture of the looks.

python -m benchmarks.looks --picture looks.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import in_turn, keep, options
from envs.avoid_pixels import AvoidPixels
from envs.cameras import Camera
from envs.disturbance import Disturbance
from envs.drivers import TaskEnv
from envs.looks import LOOKS
from robolearn import seeds

STATES, ROUNDS = 100, 10
STEPS = 40  # of the expert, until it is pictured


def frames_per_second(num_states: int, rounds: int) -> dict[str, float]:
    """Images of 96 x 96 per second of processor time, each of another episode; the best round."""
    tasks = {"none": AvoidPixels(), **{look: AvoidPixels(Disturbance(look=look)) for look in LOOKS}}
    cameras = {name: Camera(task, 96, 96) for name, task in tasks.items()}
    rng, task = np.random.default_rng(seeds.FIXED), tasks["none"]
    physics, _ = task.initial_state(np.stack([task.sample_start(rng) for _ in range(num_states)]))

    def draw(name: str) -> None:
        for key, state in enumerate(physics):
            cameras[name].image(state, key, tasks[name].model)

    seconds = in_turn({name: lambda name=name: draw(name) for name in cameras}, rounds)
    for camera in cameras.values():
        camera.close()
    return {name: num_states / min(times) for name, times in seconds.items()}


def picture(path: Path) -> None:
    """What a policy sees: without a look, in the look "real", and in eight episodes of "random"."""
    shown = []
    for look, number in [(None, 0), ("real", 0), *(("random", number) for number in range(8))]:
        env = TaskEnv(AvoidPixels(Disturbance(look=look)))
        obs, _ = env.reset(seed=seeds.DEMONSTRATIONS[number])
        for _ in range(STEPS):
            obs, *_ = env.step(env.expert_action()[1])
        shown.append(obs["image"])
        env.close()
    rows = [np.concatenate(shown[i : i + 5], axis=1) for i in (0, 5)]
    Image.fromarray(np.concatenate(rows)).save(path, optimize=True)


def main() -> None:
    """Print a table row per look, and save what was asked for."""
    parser = options(__doc__)
    parser.add_argument("--picture", type=Path, help="PNG of the looks")
    args = parser.parse_args()
    rates = frames_per_second(*((2, 1) if args.dry_run else (STATES, ROUNDS)))
    print("| look | images per second |")
    print("|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.0f} |")
    keep(args.out, {"images_per_second": rates})
    if args.picture:
        picture(args.picture)


if __name__ == "__main__":
    main()
