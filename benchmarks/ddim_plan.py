"""CPU time of one plan of the (64, 128, 256) U-Net with ten DDIM steps, in torch and without, beside LeRobot's.

    python -m benchmarks.ddim_plan [--peer PYTHON SCRIPT] [--out docs/results/speed.json]

One observation, one chunk, one thread, random weights: state 20, action 2, observation horizon 2, action horizon 16.
The peer is a Python with LeRobot installed and a script that prints its plan as JSON lines with "cpu_ms"; it takes
turns with ours.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import in_turn, keep_part, options, ratio, untrained_policy
from benchmarks.deploy import as_plan, draw
from benchmarks.peer import add_peer, open_peer
from robolearn import seeds
from robolearn.deploy.runtime import load_onnx
from robolearn.deploy.sampler import Sampler, write_network
from robolearn.nets.unet import UNetConfig
from robolearn.policies.diffusion import DiffusionConfig

STATE, STEPS, PLANS, ROUNDS = 20, 10, 20, 5


def main() -> None:
    """Measure in turn and print medians and ratios."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    add_peer(parser)
    args = parser.parse_args()
    steps, plans, rounds = (2, 1, 1) if args.dry_run else (STEPS, PLANS, args.rounds)
    torch.set_num_threads(1)
    policy = untrained_policy(DiffusionConfig(sampler="ddim", steps=steps), UNetConfig(), state=STATE).eval()
    sampler, rng = Sampler(policy, 1), np.random.default_rng(seeds.FIXED)
    given, with_torch = draw(sampler, rng, 1), as_plan(policy)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sampler.onnx"
        write_network(sampler, path, "onnx")
        deployed = load_onnx(path, threads=1)
    cases = {"torch": lambda: with_torch(given), "deployed": lambda: deployed(given)}
    arguments = ("--batch", "1", "--ddpm", "0", "--ddim", str(steps), "--rounds", str(plans))
    peer, ours, peers = open_peer(args.peer, *arguments), {name: list[float]() for name in cases}, list[float]()
    for _ in range(rounds):
        for name, seconds in in_turn(cases, plans).items():
            ours[name].append(1e3 * statistics.median(seconds))
        if peer:
            peers.append(peer.cpu_ms())
    result = {"steps": steps, "parameters": sum(p.numel() for p in policy.parameters()), "cpu_ms": ours}
    for name, ms in {**ours, **({"LeRobot": peers} if peers else {})}.items():
        print(f"{name:9} {statistics.median(ms):7.2f} ms CPU per plan")
    if peers:
        result |= {"peer_cpu_ms": peers, "ratio": (shares := {name: ratio(peers, ms) for name, ms in ours.items()})}
        print("\n".join(f"LeRobot over {name:9} {share:.2f}" for name, share in shares.items()))
    keep_part(args.out, "ddim_plan", result)


if __name__ == "__main__":
    main()
