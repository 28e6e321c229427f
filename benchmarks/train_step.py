"""CPU time of one training step of the (64, 128, 256) U-Net, beside LeRobot's diffusion policy in the same run.

    python benchmarks/train_step.py [--batch 64] [--peer PYTHON SCRIPT] [--out FILE.json]

One step is what the trainer does: loss, backward, gradient clipping, AdamW and, here, the moving average as well. One
thread, random data in memory: state 20, action 2, observation horizon 2, action horizon 16. The peer is a Python with
LeRobot installed and a script that prints its step as JSON lines with "cpu_ms"; it takes turns with ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import torch

from robolearn import seeds
from robolearn.data.normalizer import Normalizer
from robolearn.nets.unet import UNetConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.training.config import TrainConfig
from robolearn.training.fit import optimize
from robolearn.training.state import TrainState
from robolearn.types import Batch

STATE, ACTION, OBS_HORIZON, ACTION_HORIZON = 20, 2, 2, 16
STEPS, ROUNDS, BATCH = 7, 3, 64


def make_state(batch_size: int) -> TrainState:
    """The policy and its optimizer, for batches of this size."""
    shapes = {"state": (STATE,)}
    cfg = PolicyConfig(DiffusionConfig(), UNetConfig(), shapes, ACTION, OBS_HORIZON, ACTION_HORIZON)
    return TrainState(Policy(cfg, Normalizer({**shapes, "action": (ACTION,)})), TrainConfig(batch_size=batch_size))


def our_cpu_ms(state: TrainState, batch_size: int, steps: int) -> float:
    """Median CPU time of a step [ms]."""
    generator = torch.Generator().manual_seed(seeds.FIXED)
    batch = Batch(
        obs={"state": torch.rand(batch_size, OBS_HORIZON, STATE, generator=generator) * 2 - 1},
        actions=torch.rand(batch_size, ACTION_HORIZON, ACTION, generator=generator) * 2 - 1,
        mask=torch.ones(batch_size, ACTION_HORIZON, dtype=torch.bool),
    )
    seconds = []
    for _ in range(steps + 1):
        started = time.process_time()
        optimize(state, state.policy, batch, slice(None))["loss"].item()
        state.ema.update(state.step)
        state.step += 1
        seconds.append(time.process_time() - started)
    return statistics.median(seconds[1:]) * 1e3


def peer_cpu_ms(python: Path, script: Path, batch_size: int) -> float:
    """The peer's own figure [ms]."""
    command = [python, script, "--impl", "lerobot_dp", "--batch", str(batch_size), "--rounds", str(STEPS)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=script.parent).stdout
    return json.loads(output.splitlines()[-1])["cpu_ms"]


def main() -> None:
    """Measure in turn and print medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peer", type=Path, nargs=2, metavar=("PYTHON", "SCRIPT"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, to see that everything runs")
    args = parser.parse_args()
    batch, rounds, steps = (2, 1, 1) if args.dry_run else (args.batch, args.rounds, STEPS)
    torch.set_num_threads(1)
    state = make_state(batch)
    ours, peers = [], []
    for _ in range(rounds):
        ours.append(our_cpu_ms(state, batch, steps))
        if args.peer:
            peers.append(peer_cpu_ms(args.peer[0].absolute(), args.peer[1].resolve(), batch))
    result = {"batch": batch, "rounds": rounds, "cpu_ms": statistics.median(ours)}
    result["parameters"] = sum(p.numel() for p in state.policy.parameters())
    print(f"robolearn  {result['cpu_ms']:7.1f} ms CPU per step, {result['parameters']:,} parameters")
    if peers:
        result["peer_cpu_ms"] = statistics.median(peers)
        result["ratio"] = statistics.median(p / o for o, p in zip(ours, peers, strict=True))
        print(f"LeRobot    {result['peer_cpu_ms']:7.1f} ms CPU per step\nratio      {result['ratio']:7.2f}")
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
