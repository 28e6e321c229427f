"""Evaluate a trained policy: python eval.py RUN [flags]; see --help."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from robolearn import seeds
from robolearn.errors import exit_status, user_errors, warn, warned
from robolearn.locks import hold
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.policy import Policy
from robolearn.report.counting import counting
from robolearn.report.facts import machine_facts
from robolearn.report.page import Report, write_report
from robolearn.report.results import PAGE_FILE, place_for_partial, write_results
from robolearn.report.terminal import format_table
from robolearn.rollout.controller import Controller
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.evaluation import evaluate, measure_latency
from robolearn.rollout.execution import Execution
from robolearn.rollout.known import check_known
from robolearn.rollout.making import facts_of
from robolearn.rollout.metrics import summarize
from robolearn.rollout.replay import record_videos
from robolearn.starts import judged
from robolearn.training.device import choose_device
from robolearn.training.logger import read_records
from robolearn.training.run import Run
from robolearn.trust.files import describe_source
from robolearn.trust.guard import Guard
from robolearn.trust.guarded import Fallback
from robolearn.trust.interventions import check_recordable, record_interventions
from robolearn.types import Trajectory, is_image

MAX_EPISODES = 1_000_000


@dataclass(frozen=True)
class EvalConfig:
    """Options of an evaluation."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory that train.py wrote."""
    episodes: int = 200
    """Episodes."""
    seed: int = seeds.EVALUATION.start
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
    trust: bool = False
    """Make the environment that the run names also where that imports a module other than the known ones."""
    gate: bool = False
    """Score every plan, and let the fallback act where the run's gate says so; see python -m robolearn calibrate."""
    safety_set: bool = False
    """Execute only candidates whose predicted tube keeps clear of the task's obstacles; see calibrate --safety-set."""
    fallback: Fallback | None = None
    """watch: only note it; hold: stand still; replan: the sample most agreed on; retreat: go back; expert: let the
    scripted expert drive; stop: end the episode. By default replan, with a safety set hold."""
    budget: int | None = None
    """Most steps of an episode under intervention, after which the gate is silent; by default no limit."""
    budgets: tuple[int, ...] = ()
    """Roll out once more with each of these budgets, for the report: success at so many steps at most."""
    record_interventions: Path | None = None
    """Write what the expert did when it took over as a store to train on, next to the demonstrations."""
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
    if not (1 <= cfg.episodes <= MAX_EPISODES and cfg.num_envs >= 1):
        raise ValueError(
            f"--episodes {cfg.episodes} must be in 1..{MAX_EPISODES}, --num-envs {cfg.num_envs} at least 1"
        )
    if cfg.videos < 0:
        raise ValueError(f"--videos {cfg.videos} must not be negative")
    if not (cfg.gate or cfg.safety_set) and (
        cfg.record_interventions or cfg.fallback or cfg.budgets or cfg.budget is not None
    ):
        raise ValueError("--fallback, --budget(s) and --record-interventions need --gate or --safety-set")
    run, out = Run.open(cfg.run), cfg.out or cfg.run / "eval"
    with hold(out):
        evaluate_run(cfg, run, out, shlex.join(["python", "eval.py", *arguments]))


def evaluate_run(cfg: EvalConfig, run: Run, out: Path, command: str) -> None:
    """Roll out and write; what was rolled out is on disk before anything else is made of it."""
    console = Console()
    trained, data = run.config(), run.data()
    if cfg.env.id is None and not cfg.trust:
        check_known(trained.env, run.directory / "config.json")
    device = choose_device(cfg.device, threads=cfg.threads)
    checkpoint = run.checkpoint(cfg.checkpoint)
    policy = Policy.load(checkpoint, device=device, sampler=cfg.sampler, steps=cfg.steps)
    env, execution = cfg.env.over(trained.env), cfg.execution.over(trained.exec_horizon)
    guard = open_guard(cfg, run, policy, env, execution) if cfg.gate or cfg.safety_set else None

    def roll_out(guard: Guard | None, finished: list[Trajectory]) -> list[Trajectory]:
        with counting(cfg.episodes, "rolling out", console) as count:

            def note(trajectory: Trajectory) -> None:
                finished.append(trajectory)
                count()

            return evaluate(
                policy,
                env,
                range(cfg.episodes),
                execution=execution,
                seed=cfg.seed,
                num_envs=cfg.num_envs,
                on_done=note,
                make_controller=Controller if guard is None else guard.make_controller,
            )

    finished: list[Trajectory] = []
    try:
        trajectories = roll_out(guard, finished)
    except KeyboardInterrupt as stop:
        keep_finished(out, finished, cfg.episodes, env, data.control_dt)
        sys.exit(exit_status(stop))
    declared = facts_of(env)
    summary = summarize(trajectories, num_modes=declared.num_modes, control_dt=data.control_dt)
    write_results(out, trajectories, summary)
    counted = judged(trajectories)
    if cfg.record_interventions is not None:
        recorded = record_interventions(cfg.record_interventions, counted, execution.period, env, data.control_dt)
        where = f"in {cfg.record_interventions}" if recorded else "in successful episodes, nothing was written"
        console.print(f"interventions: {recorded} {where}", soft_wrap=True)
    latency = measure_latency(policy, counted[0], candidates=execution.candidates)
    gate = None
    if guard is not None:
        limited = {
            budget: roll_out(dataclasses.replace(guard, budget=budget), []) for budget in sorted(set(cfg.budgets))
        }
        gate = guard.summarize(trajectories, execution.period, limited)
        latency |= guard.measure_latency(counted[0], execution.period)
    write_results(out, trajectories, summary, latency=latency, gate=gate)
    if execution.ensembling is not None:
        warn("temporal ensembling averages over modes; two ways may become one in between")
    for gap in guard.gaps if guard is not None else ():
        warn(f"{gap}; the certificate does not cover this")
    console.print(format_table(summary, latency, gate))

    facts = {
        "checkpoint": checkpoint.resolve().name,
        "policy": f"{policy.cfg.family}, {policy.cfg.backbone}",
        "execution": str(execution),
        "score": declared.score or "the reward, unless the environment tells another",
        "dataset": f"{data.path}, {data.num_episodes} episodes, {data.num_steps} steps, "
        f"sha256 {data.content_hash[:16]}",
        "seeds": f"training {trained.seed}, evaluation {cfg.seed} + episode",
        **machine_facts(str(device)),
    }
    videos, failures = record_videos(env, counted, cfg.videos, out / "videos", 1 / data.control_dt)
    for line in failures:
        warn(line)
    report = Report(
        title=str(env.id),
        run=cfg.run.name,
        summary=summary,
        trajectories=trajectories,
        command=command,
        control_dt=data.control_dt,
        latency=latency,
        gate=gate,
        facts=facts,
        training_curve=list(read_records(cfg.run / "metrics.jsonl")),
        videos=videos,
    )
    with warned(f"the page is left out, the results are in {out}: it"):
        write_report(out / PAGE_FILE, report)
        console.print(f"report: {out / PAGE_FILE}", soft_wrap=True)


def keep_finished(out: Path, finished: list[Trajectory], asked: int, env: EnvConfig, control_dt: float) -> None:
    """Write down the episodes of an evaluation that was stopped, marked as what they are."""
    if not judged(finished):
        warn(f"stopped before one of {asked} episodes had finished; nothing was written")
        return
    finished = sorted(finished, key=lambda t: t.episode)
    place = place_for_partial(out)
    summary = summarize(finished, num_modes=facts_of(env).num_modes, control_dt=control_dt)
    write_results(place, finished, summary, asked=asked)
    warn(f"stopped: {len(finished)} of {asked} episodes had finished, short ones first; they are in {place}")


def open_guard(cfg: EvalConfig, run: Run, policy: Policy, env: EnvConfig, execution: Execution) -> Guard:
    """The run's gate and safety set, checked against how they are to be used."""
    fallback = cfg.fallback or ("hold" if cfg.safety_set else "replan")
    if cfg.record_interventions is not None:
        sees_images = any(map(is_image, policy.cfg.obs_shapes.values()))
        check_recordable(cfg.record_interventions, fallback, sees_images)
    checkpoints, sampling = run.members(cfg.checkpoint), {"sampler": cfg.sampler, "steps": cfg.steps}
    others = [Policy.load(other, device=policy.device, **sampling) for other in checkpoints[1:]]
    return Guard.open(
        run.directory,
        Ensemble([policy, *others]),
        describe_source(checkpoints, env, execution, sampling),
        range(cfg.seed, cfg.seed + cfg.episodes),
        gate=cfg.gate,
        safety_set=cfg.safety_set,
        fallback=fallback,
        budget=cfg.budget,
    )


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
