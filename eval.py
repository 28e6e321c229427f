"""Evaluate a trained policy: python eval.py RUN [flags]; see --help."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import track

from robolearn.errors import user_errors
from robolearn.policies.policy import Policy
from robolearn.report.facts import machine_facts
from robolearn.report.page import Report
from robolearn.report.results import write_results
from robolearn.report.terminal import format_table
from robolearn.rollout.environments import EnvConfig, num_modes
from robolearn.rollout.evaluation import evaluate, measure_latency
from robolearn.rollout.execution import Execution
from robolearn.rollout.metrics import summarize
from robolearn.rollout.replay import record_videos
from robolearn.training.device import choose_device
from robolearn.training.logger import read_lines
from robolearn.training.run import Run


@dataclass(frozen=True)
class EvalConfig:
    """Options of an evaluation."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory that train.py wrote."""
    episodes: int = 200
    """Episodes."""
    seed: int = 100_000
    """Episode i starts from seed + i, and its noise depends on (seed, i) only."""
    num_envs: int = 32
    """Environments side by side; does not change the result."""
    checkpoint: str = "last"
    """last, best or a step."""
    sampler: str | None = None
    """Sampler of the family; by default the trained configuration's."""
    steps: int | None = None
    """Sampling steps of the family."""
    execution: Annotated[Execution, tyro.conf.arg(name="")] = field(default_factory=Execution)
    env: EnvConfig = field(default_factory=EnvConfig)
    """Environment; by default the one of the training run."""
    videos: int = 3
    """Videos of successes, and as many of failures."""
    out: Path | None = None
    """Where the results go; by default RUN/eval."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the policy runs."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4."""


def main(arguments: list[str]) -> None:
    """Load, roll out, summarise, write and show."""
    cfg = tyro.cli(EvalConfig, args=arguments, description=__doc__)
    if cfg.episodes < 1 or cfg.num_envs < 1:
        raise ValueError(f"--episodes {cfg.episodes} and --num-envs {cfg.num_envs} must be at least 1")
    run, console = Run.open(cfg.run), Console()
    trained, data = run.config(), run.data()
    device = choose_device(cfg.device, threads=cfg.threads)
    checkpoint = run.checkpoint(cfg.checkpoint)
    policy = Policy.load(checkpoint, device=device, sampler=cfg.sampler, steps=cfg.steps)
    env, execution = cfg.env.over(trained.env), cfg.execution.over(trained.exec_horizon)

    bar = iter(track(range(cfg.episodes), "rolling out", console=console))
    next(bar)
    trajectories = evaluate(
        policy,
        env,
        range(cfg.episodes),
        execution=execution,
        seed=cfg.seed,
        num_envs=cfg.num_envs,
        on_done=lambda _: next(bar, None),
    )
    summary = summarize(trajectories, num_modes=num_modes(env), control_dt=data.control_dt)
    latency = measure_latency(policy, trajectories[0], candidates=execution.candidates)

    out = cfg.out or cfg.run / "eval"
    facts = {
        "checkpoint": checkpoint.resolve().name,
        "policy": f"{policy.cfg.family}, {policy.cfg.backbone}",
        "execution": str(execution),
        "dataset": f"{data.path}, {data.num_episodes} episodes, {data.num_steps} steps, "
        f"sha256 {data.content_hash[:16]}",
        "seeds": f"training {trained.seed}, evaluation {cfg.seed} + episode",
        **machine_facts(str(device)),
    }
    report = Report(
        title=str(env.id),
        run=cfg.run.name,
        summary=summary,
        trajectories=trajectories,
        command=shlex.join(["python", "eval.py", *arguments]),
        control_dt=data.control_dt,
        latency=latency,
        facts=facts,
        training_curve=[json.loads(line) for line in read_lines(cfg.run / "metrics.jsonl")],
        videos=record_videos(env, trajectories, cfg.videos, out / "videos", 1 / data.control_dt),
    )
    write_results(out, report)
    if execution.ensembling is not None:
        print("warning: temporal ensembling averages over modes; two ways may become one in between", file=sys.stderr)
    console.print(format_table(summary, latency))
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
