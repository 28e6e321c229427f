"""Compare two trained policies on the same episodes until one is shown to be better, or no worse than allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from robolearn.config import checked, to_json
from robolearn.errors import UserError, warn, warned
from robolearn.evaluation.acting import Acting
from robolearn.evaluation.compare_config import CompareConfig, SideConfig
from robolearn.evaluation.config import Watch
from robolearn.files import StrPath
from robolearn.locks import hold
from robolearn.policies.registry import name_of
from robolearn.report.comparison import PAGE_FILE, Comparison, read_pairs, write_comparison, write_unjudged
from robolearn.report.comparison_page import write_page
from robolearn.report.comparison_terminal import format_verdict, remarks
from robolearn.report.counting import counting
from robolearn.report.facts import machine_facts
from robolearn.rollout.clip_remarks import clip_problem
from robolearn.rollout.engine import run_episodes
from robolearn.rollout.known import check_known
from robolearn.rollout.pairs import Judge, Pair, Question, Verdict
from robolearn.rollout.roll_out import attached_envs
from robolearn.stats.sequences import fewest_differences
from robolearn.training.run import Run
from robolearn.trust.certificate import hash_json
from robolearn.trust.files import describe_source, hash_files
from robolearn.types import Trajectory

SHARED = ("id", "kwargs", "max_episode_steps", "success_key", "stops", "clips")  # what makes two environments one
FLAGS = {"stops": "stop_on_success", "clips": "clip"}  # where they are called otherwise


def compare(
    run_a: Run | StrPath,
    run_b: Run | StrPath,
    cfg: CompareConfig | None = None,
    *,
    trust: bool = False,
    command: str = "robolearn.compare",
    console: Console | None = None,
) -> Comparison:
    """Roll two policies out, pair by pair, until it is certain whether B is better than A.

        comparison = compare(Path("runs/old"), Path("runs/new"), CompareConfig(margin=0.05))
        print(comparison.verdict.words)

    Pair i is an episode of each policy from the same start with the same noise. After each batch of pairs everything is
    on disk; a KeyboardInterrupt leaves the verdict so far, which holds as it is, and the same call goes on from there.

    Args:
        run_a: Of `train`; what B is compared with.
        run_b: Of `train`; the same run will do, where it acts in another way.
        cfg: What is asked, where, how each policy acts.
        trust: Make the environment that the runs name, whatever module it is from.
        command: What the result says it was made by.
        console: Where progress and the verdict are shown; by default nowhere.

    Returns:
        The verdict, with the confidence sequence of the mean difference B - A and all pairs behind it.

    Raises:
        UserError: Runs, environments or options do not fit, too many pairs are broken, or no pair counts.
        OSError: The disk refuses.
    """
    runs = [run if isinstance(run, Run) else Run.open(run) for run in (run_a, run_b)]
    cfg = checked(cfg or CompareConfig())
    for run in runs if not trust else ():
        check_known(run.config().env, run.directory / "config.json", cfg.env)
    comparing = _Comparing(_Side("A", runs[0], cfg, cfg.a), _Side("B", runs[1], cfg, cfg.b), cfg, command)
    with hold(comparing.directory):
        return comparing.judge(console or Console(quiet=True))


@contextmanager
def _named(name: str, run: Run) -> Iterator[None]:
    """Say of which of the two something is refused."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{name} ({run.directory}): {error}") from error


class _Side:
    """One of the two, opened to act."""

    def __init__(self, name: str, run: Run, cfg: CompareConfig, side: SideConfig):
        self.name, self.run, self.side, self.seed = name, run, side, cfg.seed
        with _named(name, run):
            self.env = cfg.env.with_defaults(run.config().env)
            self.acting = Acting.open(run, cfg.acting(side), self.env, cfg.max_episodes)

    def open(self, num_envs: int, stack: ExitStack, *, checked: bool) -> None:
        """Make its environments, which the stack closes."""
        with _named(self.name, self.run):
            self.controller = self.acting.make_controller(num_envs, seed=self.seed)
            attached = attached_envs(self.env, num_envs, self.controller, needs_seeds=True, checked=checked)
            self.envs = stack.enter_context(attached)

    def roll_out(self, episodes: range) -> list[Trajectory]:
        """Its episodes, in order."""
        return run_episodes(self.envs, self.controller, episodes, max_steps=self.env.max_episode_steps)

    def source(self) -> dict[str, Any]:
        """What its episodes depend on, beside environment and seed."""
        run, side, acting = self.run, self.side, self.acting
        checkpoints = run.members(side.checkpoint) if side.is_watched else [acting.checkpoint]
        calibrated = [run.directory / name for name, on in (("gate", side.gate), ("tube", side.safety_set)) if on]
        return {
            "checkpoint": acting.checkpoint.resolve().name,
            "sha256": describe_source(checkpoints, self.env, acting.execution, side.sampling).checkpoint,
            "policy": f"{name_of(acting.policy.cfg.family)} on {name_of(acting.policy.cfg.backbone)}",
            "sampling": side.sampling,
            "execution": to_json(acting.execution, {}),
            "obs": list(self.env.obs),
            "watch": {f.name: getattr(side, f.name) for f in dataclasses.fields(Watch)},
            "calibrated": [hash_files(folder) for folder in calibrated],
            "dataset_sha256": run.data().content_hash,
            "training_seed": run.config().seed,
        }


class _Comparing:
    """One comparison."""

    def __init__(self, a: _Side, b: _Side, cfg: CompareConfig, command: str):
        self.a, self.b, self.cfg, self.command = a, b, cfg, command
        _check_alike(a, b, ("return_range",) if cfg.by == "return" else ())
        environment = {FLAGS.get(name, name): getattr(a.env, name) for name in SHARED}
        self.source = {"a": a.source(), "b": b.source(), "environment": environment, "seed": cfg.seed}
        name = f"{a.run.directory.resolve().name}-{hash_json(self.source)[:8]}"
        self.directory = Path(cfg.out or b.run.directory / "compare" / name)
        self.question = Question(cfg.by, cfg.margin, cfg.alpha, a.env.return_range if cfg.by == "return" else None)
        self.pairs: list[Pair] = []

    def judge(self, console: Console) -> Comparison:
        """Everything in order: what must be kept before what may fail."""
        cfg, judge = self.cfg, Judge(self.question)
        self._warn_before()
        self.pairs = read_pairs(self.directory, self.source)
        self._take(judge, self.pairs[: cfg.max_episodes])
        try:
            self._roll_out(judge, console)
        except KeyboardInterrupt:
            so_far = f"the verdict so far, of {len(self.pairs)} pairs, is in {self.directory}"
            warn(f"stopped: {so_far if self.pairs else 'no batch of pairs had finished'}; the same command goes on")
            raise
        comparison = self._keep(judge.verdict())
        for line in remarks(comparison):
            warn(line)
        console.print(format_verdict(comparison))
        with warned(f"the page is left out, the results are in {self.directory}: it"):
            write_page(self.directory / PAGE_FILE, comparison)
            console.print(f"report: {self.directory / PAGE_FILE}", soft_wrap=True)
        return comparison

    def _warn_before(self) -> None:
        cfg = self.cfg
        fewest = fewest_differences(cfg.alpha, self.question.threshold)
        if cfg.max_episodes < fewest:
            warn(f"no verdict is possible within {cfg.max_episodes} pairs, whatever they show: it takes {fewest}")
        if self.source["a"] == self.source["b"]:
            warn("A and B are one policy that acts in one way")
        for side in (self.a, self.b):
            data = side.run.data()
            if problem := clip_problem(side.env, data.action_low, data.action_high):
                warn(f"{side.name}: {problem}")
            for gap in side.acting.guard.gaps if side.acting.guard is not None else ():
                warn(f"{side.name}: {gap}; the certificate does not cover this")

    def _roll_out(self, judge: Judge, console: Console) -> None:
        """Batches of pairs until there is a verdict."""
        limit, sides = self.cfg.max_episodes, (self.a, self.b)
        if judge.is_done or len(self.pairs) >= limit:
            return
        size = min(self.cfg.num_envs, limit)
        with ExitStack() as stack:
            for side in sides:
                side.open(size, stack, checked=side is self.b)
            count = stack.enter_context(counting(limit, "comparing, at most", console))
            for _ in self.pairs:
                count()
            while not judge.is_done and len(self.pairs) < limit:
                first = len(self.pairs)
                a, b = (side.roll_out(range(first, min(first + size, limit))) for side in sides)
                told = any(side.envs.tells_success for side in sides)
                new = [Pair.from_trajectories(*both, tells_success=told) for both in zip(a, b, strict=True)]
                self.pairs += new
                self._take(judge, new)
                for _ in new:
                    count()

    def _take(self, judge: Judge, pairs: list[Pair]) -> None:
        """Judge by more pairs; they are on disk whatever comes of that."""
        try:
            for pair in pairs:
                judge.take(pair)
            verdict = judge.verdict() if judge.num_pairs else None
        except UserError:
            write_unjudged(self.directory, self.source, self.pairs)
            raise
        if verdict is not None:
            self._keep(verdict)

    def _keep(self, verdict: Verdict) -> Comparison:
        """Write all pairs, with the verdict on those that were judged."""
        a, b = self.a, self.b
        facts = {
            "run_a": str(a.run.directory),
            "run_b": str(b.run.directory),
            **machine_facts(str(a.acting.policy.device)),
        }
        comparison = Comparison(verdict, tuple(self.pairs), self.source, facts, self.command, self.directory)
        write_comparison(comparison)
        return comparison


def _check_alike(a: _Side, b: _Side, asked: tuple[str, ...]) -> None:
    """Refuse two runs that do not act in one environment, or are measured in two ways."""
    for name in (*SHARED, *asked):
        one, other, flag = getattr(a.env, name), getattr(b.env, name), FLAGS.get(name, name)
        if one != other:
            raise UserError(
                f"A acts in an environment with {flag} {one}, B in one with {other}; they are compared in one, "
                f"which `env.{flag}` chooses"
            )
