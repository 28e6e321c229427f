"""Evaluate a trained policy: roll out, write the results, then the videos and the page."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console

from robolearn.config import checked, to_json
from robolearn.data.recorded import check_recording
from robolearn.errors import UserError, warn, warned
from robolearn.evaluation.acting import Acting
from robolearn.evaluation.claims import proofs_of
from robolearn.evaluation.config import EvalConfig
from robolearn.evaluation.recorded import record_episodes
from robolearn.files import StrPath, check_writable, remove
from robolearn.locks import hold
from robolearn.mapper import Mapper
from robolearn.policies.ensemble import Ensemble
from robolearn.report.counting import counting
from robolearn.report.facts import machine_facts
from robolearn.report.page import Report, busy_remarks, write_report
from robolearn.report.results import PAGE_FILE, SUMMARY_FILE, directory_for_partial, write_results
from robolearn.report.terminal import format_spent, format_table
from robolearn.rollout.circumstances import circumstances
from robolearn.rollout.clip_remarks import clip_problem, clip_remark
from robolearn.rollout.controller import Controller
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.kept import PARTS, KeptEpisodes
from robolearn.rollout.known import check_known
from robolearn.rollout.latency import measure_latency
from robolearn.rollout.making import facts_of
from robolearn.rollout.metrics import Summary, summarize
from robolearn.rollout.replay import record_videos
from robolearn.rollout.roll_out import roll_out
from robolearn.rollout.spent import TimeSpent, spent_line
from robolearn.rollout.spread import Spread
from robolearn.rollout.trial import opened_trial
from robolearn.starts import judged
from robolearn.training.embeddings import training_windows
from robolearn.training.logger import read_records
from robolearn.training.run import Run
from robolearn.trust.departures import Departures, find_departures
from robolearn.trust.guard import Guard
from robolearn.trust.interventions import check_recordable, record_interventions
from robolearn.trust.summary import GateSummary
from robolearn.types import Trajectory, is_image

MOST_COMPARED = 1_000_000  # demonstrated steps: they have to be read again


def evaluate(
    run: Run | StrPath,
    cfg: EvalConfig | None = None,
    *,
    trust: bool = False,
    command: str = "robolearn.evaluate",
    console: Console | None = None,
    mapper: Mapper | None = None,
) -> Report:
    """Roll a trained policy out and measure it.

        report = evaluate(Path("runs/avoid"), EvalConfig(episodes=200, checkpoint="best"))
        print(report.summary.success)

    What was rolled out is on disk before anything else is made of it: episodes.jsonl and summary.json, then videos and
    report.html. Episodes that had finished when it was stopped or killed lie in OUT/parts, and are not rolled out
    again, unless what acts or the code of its environment has changed. A KeyboardInterrupt writes their numbers.

    Args:
        run: Of `train`.
        cfg: How many episodes, where, how the policy acts.
        trust: Make the environment that the run names, whatever module it is from.
        command: What the page says it was made by.
        console: Where progress and the table of results are shown; by default nowhere.
        mapper: Where episodes are rolled out, see `open_cluster`; by default here.

    Returns:
        What the page shows: the summary with its intervals, every episode, latency, what a gate did.

    Raises:
        UserError: The run, the environment, a gate or an option does not fit, or every episode broke.
        OSError: The disk refuses.
    """
    run, cfg = run if isinstance(run, Run) else Run.open(run), checked(cfg or EvalConfig())
    if not trust:
        check_known(run.config().env, run.directory / "config.json", cfg.env)
    out = Path(cfg.out or run.directory / "eval")
    with hold(out):
        return _Evaluation(run, cfg, out, console or Console(quiet=True), mapper).timed_report(command)


def describe_evaluation(cfg: EvalConfig, env: EnvConfig, execution: Execution, checkpoint: Path) -> dict[str, Any]:
    """What of a policy acts, where and how, as summary.json says it.

    Args:
        cfg: Of the evaluation.
        env: Where, with the defaults of the run.
        execution: How chunks are executed, with the defaults of the run.
        checkpoint: Its directory.
    """
    how = {name: getattr(cfg, name) for name in ("translator", "gate", "safety_set", "seed")}
    acts = {"checkpoint": checkpoint.resolve().name, "sampling": cfg.chosen, "execution": execution}
    return to_json({**acts, "env": env, **how}, {})


class _Evaluation:
    """One evaluation, whose folder is held."""

    def __init__(self, run: Run, cfg: EvalConfig, out: Path, console: Console, mapper: Mapper | None):
        self.run, self.cfg, self.out, self.console, self.mapper = run, cfg, out, console, mapper
        self.spent = TimeSpent()
        with self.spent.on("preparing"):
            self._open()

    def _open(self) -> None:
        run, cfg = self.run, self.cfg
        self.trained, self.data = run.config(), run.data()
        self.env = cfg.env.with_defaults(self.trained.env)
        self.acting = Acting.open(run, cfg, self.env, cfg.episodes)
        sees_images = any(map(is_image, self.acting.policy.cfg.obs_shapes.values()))
        if cfg.record_interventions is not None:
            check_recordable(Path(cfg.record_interventions), cfg.acting_fallback, sees_images)
        if cfg.record_episodes is not None:
            check_recording("record_episodes", Path(cfg.record_episodes), sees_images=sees_images)

    def timed_report(self, command: str) -> Report:
        """The report, and shown below it where the time went."""
        with self.spent.on("bookkeeping"):  # what no part within claims
            report = self.report(command)
        self.console.print(format_spent(self.spent.seconds))
        return report

    def report(self, command: str) -> Report:
        """Everything in order: what must be kept before what may fail."""
        finished: list[Trajectory] = []
        with self.spent.on("preparing"):
            num_videos = self._check()
            check_writable(self.out / SUMMARY_FILE)
        try:
            trajectories = self._roll_out(self.acting.guard, finished)
        except KeyboardInterrupt:
            self._keep(finished)
            raise
        summary = self._summarize(trajectories)
        write_results(self.out, trajectories, summary, evaluated=self._evaluated())
        counted = judged(trajectories)
        self._record(counted)
        gate, latency = self._summarize_gate(trajectories), self._time_plans(counted[0])
        spent = dict(self.spent.seconds)
        kept = {"latency": latency, "gate": gate, "spent": spent}
        write_results(self.out, trajectories, summary, evaluated=self._evaluated(), **kept)
        remove(self.out / PARTS)
        report = Report(
            title=str(self.env.id),
            run=self.run.directory.name,
            summary=summary,
            trajectories=trajectories,
            command=command,
            control_dt=self.data.control_dt,
            latency=latency,
            gate=gate,
            facts=self._facts() | {"time": spent_line(spent)},
            proofs=proofs_of(self.run, self.cfg.checkpoint, self.acting.policy, self.acting.execution),
            departures=self._departures(counted),
            training_curve=list(read_records(self.run.directory / "metrics.jsonl")),
        )
        self._warn(summary)
        self.console.print(format_table(summary, latency, gate))
        for line in busy_remarks(latency):
            self.console.print(line, soft_wrap=True)
        return self._illustrate(report, counted, num_videos)

    def _check(self) -> int:
        """Find out before the work what the environment lacks for it; return how many videos there shall be."""
        policy = self.acting.policy.cfg
        asked = range(self.cfg.seed, self.cfg.seed + self.cfg.episodes)
        with opened_trial(self.env, tuple(policy.obs_shapes), films=self.cfg.videos > 0) as trial:
            trial.fit(policy.obs_shapes, policy.action_dim, policy.images)
            if problem := clip_problem(self.env, self.data.action_low, self.data.action_high):
                warn(problem)
            if remark := trial.starts_remark(asked):
                warn(remark)
            if self.cfg.videos and (problem := trial.film_problem()):
                warn(f"no videos can be made ({problem}); the evaluation goes on without, `videos` 0 asks for none")
                return 0
        return self.cfg.videos

    def _summarize(self, trajectories: list[Trajectory]) -> Summary:
        return summarize(
            trajectories,
            num_modes=facts_of(self.env).num_modes,
            control_dt=self.data.control_dt,
            return_range=self.env.return_range,
        )

    def _summarize_gate(self, trajectories: list[Trajectory]) -> GateSummary | None:
        """What the gate did, if there is one, and what it would do with other budgets."""
        guard, budgets = self.acting.guard, sorted(set(self.cfg.budgets))
        if guard is None:
            return None
        limited = {budget: self._roll_out(dataclasses.replace(guard, budget=budget), []) for budget in budgets}
        return guard.summarize(trajectories, self.acting.execution.period, limited)

    def _time_plans(self, start: Trajectory) -> dict[str, int | float]:
        """Latency of choosing actions, and of a gate beside it."""
        acting, guard = self.acting, self.acting.guard
        with self.spent.on("latency"):
            latency = measure_latency(acting.policy, start, candidates=acting.execution.candidates)
            return latency if guard is None else latency | guard.measure_latency(start, acting.execution.period)

    def _warn(self, summary: Summary) -> None:
        """Say what is odd about how the policy acted."""
        if remark := clip_remark(self.env, summary.clipped):
            warn(remark)
        if self.acting.execution.ensembling is not None:
            warn("temporal ensembling averages over modes; two ways may become one in between")
        for gap in self.acting.guard.gaps if self.acting.guard is not None else ():
            warn(f"{gap}; the certificate does not cover this")

    def _roll_out(self, guard: Guard | None, finished: list[Trajectory]) -> list[Trajectory]:
        """All episodes, each noted in ``finished`` as soon as it ends."""
        cfg, acting = self.cfg, self.acting
        part = "preparing" if self.mapper is None else "elsewhere"
        with self.spent.on(part), counting(cfg.episodes, "rolling out", self.console) as count:

            def note(trajectory: Trajectory) -> None:
                finished.append(trajectory)
                count()

            return roll_out(
                acting.policy,
                self.env,
                range(cfg.episodes),
                execution=acting.execution,
                seed=cfg.seed,
                num_envs=cfg.num_envs,
                on_done=note,
                spent=self.spent,
                make_controller=Controller if guard is None else guard.make_controller,
                spread=Spread(self.mapper, self._kept(guard)),
            )

    def _kept(self, guard: Guard | None) -> KeptEpisodes:
        """Where episodes that finished wait for the others."""
        budget = None if guard is None else guard.budget
        around = circumstances(self.env, self.acting.policy.device)
        fingerprint = self.acting.describe(self.run, self.cfg, self.env, budget, around)
        return KeptEpisodes(self.out / PARTS / ("all" if budget is None else f"budget-{budget}"), fingerprint)

    def _keep(self, finished: list[Trajectory]) -> None:
        """Write down the episodes of an evaluation that was stopped, marked as what they are."""
        asked = self.cfg.episodes
        if not judged(finished):
            warn(f"stopped before one of {asked} episodes had finished; nothing was written")
            return
        finished = sorted(finished, key=lambda t: t.episode)
        directory = directory_for_partial(self.out)
        summary = self._summarize(finished)
        write_results(directory, finished, summary, evaluated=self._evaluated(), asked=asked)
        warn(
            f"stopped: {len(finished)} of {asked} episodes had finished, short ones first; their numbers are in "
            f"{directory}, and the same command goes on from there"
        )

    def _record(self, counted: list[Trajectory]) -> None:
        """Write what is to be learned from."""
        cfg = self.cfg
        if cfg.record_interventions is not None:
            self._record_interventions(Path(cfg.record_interventions), counted)
        if cfg.record_episodes is not None:
            recorded = record_episodes(cfg.record_episodes, counted, self.env, self.data.control_dt)
            self.console.print(f"episodes: {recorded} in {cfg.record_episodes}", soft_wrap=True)

    def _record_interventions(self, store: Path, counted: list[Trajectory]) -> None:
        period = self.acting.execution.period
        recorded = record_interventions(store, counted, period, self.env, self.data.control_dt)
        where = f"in {store}" if recorded else "in successful episodes, nothing was written"
        self.console.print(f"interventions: {recorded} {where}", soft_wrap=True)

    def _departures(self, counted: list[Trajectory]) -> Departures | str:
        """Where episodes leave what the policy was trained on, or why that is not known."""
        with self.spent.on("page"):
            return self._compare(counted)

    def _compare(self, counted: list[Trajectory]) -> Departures | str:
        policy, data = self.acting.policy, self.data
        if any(map(is_image, policy.cfg.obs_shapes.values())):
            return "The policy sees images, which are not kept of episodes."
        if data.num_steps > MOST_COMPARED:
            return f"More than {MOST_COMPARED:,} demonstrated steps are not compared."
        try:
            windows = training_windows(self.trained, data, policy)
            return find_departures(windows, Ensemble([policy]), counted)
        except UserError as error:
            return f"Not compared: {error}."

    def _evaluated(self) -> dict[str, Any]:
        """What of the policy acted, where and how, for whoever reads the numbers later."""
        return describe_evaluation(self.cfg, self.env, self.acting.execution, self.acting.checkpoint)

    def _facts(self) -> dict[str, str]:
        """What has to be known to do it again."""
        data, policy, translator = self.data, self.acting.policy, {}
        if self.cfg.translator is not None:
            translator = {"translator": f"{self.cfg.translator}, to its {self.cfg.trained_side}"}
        return {
            "checkpoint": self.acting.checkpoint.resolve().name,
            "policy": f"{policy.family.cfg}, {policy.cfg.backbone}",  # as it was asked here, not as it was trained
            **translator,
            "execution": str(self.acting.execution),
            "dataset": f"{data.path}, {data.num_episodes} episodes, {data.num_steps} steps, "
            f"sha256 {data.content_hash[:16]}",
            "seeds": f"training {self.trained.seed}, evaluation {self.cfg.seed} + episode",
            **machine_facts(str(policy.device)),
        }

    def _illustrate(self, report: Report, counted: list[Trajectory], num_videos: int) -> Report:
        """Make videos and the page, on which nothing else depends."""
        folder = self.out / "videos"
        with self.spent.on("page"):
            videos, failures = record_videos(self.env, counted, num_videos, folder, 1 / self.data.control_dt)
            for line in failures:
                warn(line)
            report = dataclasses.replace(report, videos=videos)
            with warned(f"the page is left out, the results are in {self.out}: it"):
                write_report(self.out / PAGE_FILE, report)
                self.console.print(f"report: {self.out / PAGE_FILE}", soft_wrap=True)
        return report
