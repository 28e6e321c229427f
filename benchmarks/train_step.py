"""CPU time of one training step of the (64, 128, 256) U-Net, beside LeRobot's diffusion policy in the same run.

    python -m benchmarks.train_step [--batch 64] [--peer PYTHON SCRIPT] [--out docs/results/speed.json]

One step is what the trainer does: loss, backward, gradient clipping, AdamW and, here, the moving average as well. One
thread, random data in memory: state 20, action 2, observation horizon 2, action horizon 16. The peer is a Python with
LeRobot installed and a script that prints its step as JSON lines with "cpu_ms"; it takes turns with ours.
"""

from __future__ import annotations

import statistics

import torch

from benchmarks.common import in_turn, keep_part, make_windows, options, ratio, untrained_policy
from benchmarks.peer import add_peer, open_peer
from robolearn.nets.unet import UNetConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.training.config import TrainConfig
from robolearn.training.state import TrainState
from robolearn.training.step import optimize

STATE, STEPS, ROUNDS, BATCH = 20, 7, 3, 64


def our_cpu_ms(state: TrainState, steps: int) -> float:
    """Median CPU time of a step [ms]."""
    batch = make_windows(STATE).batch(torch.arange(state.cfg.batch_size))

    def step() -> None:
        optimize(state, state.policy, batch, slice(None))["loss"].item()
        state.ema.update(state.step)
        state.step += 1

    return 1e3 * statistics.median(in_turn({"": step}, steps)[""])


def main() -> None:
    """Measure in turn and print medians and the ratio."""
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    add_peer(parser)
    args = parser.parse_args()
    batch, rounds, steps = (2, 1, 1) if args.dry_run else (args.batch, args.rounds, STEPS)
    torch.set_num_threads(1)
    policy = untrained_policy(DiffusionConfig(), UNetConfig(), state=STATE)
    state = TrainState(policy, TrainConfig(batch_size=batch))
    peer = open_peer(args.peer, "--impl", "lerobot_dp", "--batch", str(batch), "--rounds", str(steps))
    ours, peers = [], []
    for _ in range(rounds):
        ours.append(our_cpu_ms(state, steps))
        if peer:
            peers.append(peer.cpu_ms())
    result = {"batch": batch, "cpu_ms": ours, "parameters": sum(p.numel() for p in policy.parameters())}
    print(f"robolearn  {statistics.median(ours):7.1f} ms CPU per step, {result['parameters']:,} parameters")
    if peers:
        result |= {"peer_cpu_ms": peers, "ratio": (share := ratio(peers, ours))}
        print(f"LeRobot    {statistics.median(peers):7.1f} ms CPU per step\nratio      {share:.2f}")
    keep_part(args.out, f"train_step_{batch}", result)


if __name__ == "__main__":
    main()
