"""Ways to execute the chunks of one policy, each while planning takes 0, 1 or 3 control steps.

    python -m benchmarks.execution RUN [--prefix RUN] [--episodes 200] --out FILE.json

RUN is a trained policy on a task with modes, such as Avoid; the rows of the prefix come from a second run, which was
trained with --prefix-horizon 3 or more. Each initial state is repeated with other noise, for the entropy of the modes
from it. Rows that are in FILE already are not measured again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import keep, options
from robolearn import seeds
from robolearn.config import read_json, to_json
from robolearn.errors import UserError, user_errors
from robolearn.policies.policy import Policy
from robolearn.rollout.execution import Execution
from robolearn.rollout.making import facts_of
from robolearn.rollout.metrics import summarize
from robolearn.rollout.roll_out import roll_out
from robolearn.stats.bootstrap import grouped_mean
from robolearn.stats.entropy import conditional_mode_entropies, expected_mode_entropy
from robolearn.stats.value import Estimate
from robolearn.training.run import Run

REPEATS = 20
DELAYS = (0, 1, 3)
WAYS = {
    "plain": Execution(),
    "8 candidates": Execution(candidates=8),
    "kept noise": Execution(keep_noise=True),
    "ensembling 0.01": Execution(ensembling=0.01),
}


def measure(run: Run, execution: Execution, num_states: int) -> dict[str, Any]:
    """Roll the last checkpoint out; numbers as {value, low, high, n}."""
    cfg, policy = run.config(), Policy.load(run.checkpoint("last"))
    modes = facts_of(cfg.env).num_modes
    if modes is None:
        raise UserError(f"{run.directory}: the modes of {cfg.env.id} are not known; choose a run on Avoid-v0")
    trajectories = roll_out(
        policy,
        cfg.env,
        range(num_states * REPEATS),
        execution=execution.with_defaults(cfg.exec_horizon),
        seed=seeds.EVALUATION.start,
        repeats=REPEATS,
    )
    summary = summarize(trajectories, num_modes=modes, control_dt=run.data().control_dt)
    success = np.array([t.success for t in trajectories]).reshape(num_states, REPEATS)
    taken = np.array([t.mode for t in trajectories]).reshape(num_states, REPEATS)
    entropy = grouped_mean(conditional_mode_entropies(success, taken, modes)[None])
    return {
        "run": run.directory.name,
        "execution": to_json(execution.with_defaults(cfg.exec_horizon), {}),
        "success": to_json(summary.success, {}),
        "mode_entropy": to_json(entropy, {}),
        "entropy_of_equal_modes": expected_mode_entropy(np.full(modes, 1 / modes), REPEATS),
        "rms_jerk": to_json(summary.smoothness, {}),
        "reasons": summary.reasons,
    }


def show(rows: dict[str, dict[str, Any]]) -> None:
    """Print the table."""

    def text(number: dict[str, Any] | None, digits: int) -> str:
        return "-" if number is None else format(Estimate(**number), f".{digits}f")

    print(f"{'execution, delay':22}{'success':24}{'mode entropy per start':26}RMS jerk")
    for name, row in rows.items():
        success, entropy = text(row["success"], 3), text(row["mode_entropy"], 3)
        print(f"{name:22}{success:24}{entropy:26}{text(row['rms_jerk'], 1)}")
    best = next(iter(rows.values()))["entropy_of_equal_modes"]
    print(f"equal modes would show an entropy of {best:.3f}, with {REPEATS} episodes per start")


def main() -> None:
    """Measure what is missing and print everything."""
    parser = options(__doc__, required=True)
    parser.add_argument("run", type=Path)
    parser.add_argument("--prefix", type=Path, help="run that was trained with --prefix-horizon")
    parser.add_argument("--episodes", type=int, default=200, help=f"a multiple of {REPEATS}")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.dry_run:
        args.episodes = REPEATS
    num_states, rest = divmod(args.episodes, REPEATS)
    if num_states < 1 or rest:
        raise UserError(f"--episodes {args.episodes} must be a multiple of {REPEATS}")
    torch.set_num_threads(args.threads)
    ways = [(name, Run.open(args.run), execution) for name, execution in WAYS.items()]
    if args.prefix is not None:
        run = Run.open(args.prefix)
        if run.config().prefix_horizon < max(DELAYS):
            raise UserError(f"{args.prefix}: train it with --prefix-horizon {max(DELAYS)} or more")
        ways.append(("prefix", run, Execution()))

    settings = {"seed": seeds.EVALUATION.start, "episodes": args.episodes, "repeats": REPEATS}
    report: dict[str, Any] = read_json(args.out) if args.out.exists() else {**settings, "rows": {}}
    if {key: report.get(key) for key in settings} != settings:
        raise UserError(f"{args.out} holds rows of other options than {settings}; choose another --out")
    for name, run, execution in ways:
        for delay in DELAYS[:1] if args.dry_run else DELAYS:
            key = f"{name}, {delay}"
            if key not in report["rows"]:
                report["rows"][key] = measure(run, replace(execution, delay=delay), num_states)
                keep(args.out, report)
                print(key, report["rows"][key]["success"]["value"], flush=True)
    show(report["rows"])


if __name__ == "__main__":
    with user_errors():
        main()
