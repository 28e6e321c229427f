"""What a run does while it trains: progress bar, metrics, checkpoints and rollouts, as hooks of the loop."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from robolearn import seeds
from robolearn.config import to_json
from robolearn.policies.registry import REGISTRY
from robolearn.rollout.evaluation import evaluate
from robolearn.rollout.execution import Execution
from robolearn.rollout.metrics import summarize
from robolearn.rollout.replay import replay
from robolearn.rollout.video import write_mp4
from robolearn.starts import judged
from robolearn.training.fit import Hooks, Record
from robolearn.training.logger import MetricsFile, WandbLogger, read_records
from robolearn.training.run import DataFacts, Run
from robolearn.training.state import TrainState


class Session(Hooks):
    """The hooks of one run: progress bar, metrics, checkpoints and rollouts.

    Args:
        run: Where everything goes.
        state: What is trained, at the step from which it goes on.
        data: Facts about the demonstrations.
    """

    def __init__(self, run: Run, state: TrainState, data: DataFacts):
        self.run, self.cfg, self.data = run, state.cfg, data
        self.metrics = MetricsFile(run.directory / "metrics.jsonl", state.step)
        self.wandb = self._start_wandb(state) if self.cfg.wandb else None
        self.best = float("inf")
        self.newest: Record = {}
        best_step = run.best_step()
        for line in read_records(run.directory / "metrics.jsonl"):
            self.newest |= line
            if self.newest["step"] == best_step:
                self.best = self._merit()
        self.console = Console()
        self.bar = Progress(
            TextColumn("step {task.completed:,.0f}/{task.total:,.0f}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:.0f} steps/s "),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.bar.add_task("train", total=self.cfg.steps, completed=state.step, loss=float("nan"), rate=0.0)
        self.printed = time.monotonic()

    def __enter__(self) -> Session:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        self.metrics.close()
        if self.wandb is not None:
            self.wandb.close()

    def record(self, record: Record) -> None:
        """Write the numbers and move the bar; where there is no terminal, print a line now and then."""
        self.newest |= record
        self._log(record)
        if "steps_per_s" not in record:
            return
        loss = next(value for name, value in record.items() if name.endswith("loss"))
        rate = record["steps_per_s"]
        self.bar.update(self.task, completed=record["step"], loss=loss, rate=rate)
        if not self.console.is_terminal and time.monotonic() - self.printed > 20:
            self.printed = time.monotonic()
            self.console.print(f"step {record['step']:,.0f}/{self.cfg.steps:,}  loss {loss:.4f}  {rate:.0f} steps/s")

    def checkpoint(self, state: TrainState) -> None:
        """Save; best is the highest rollout score or, without rollouts, the lowest held-out loss."""
        merit = self._merit()
        self.run.save(state, best=merit < self.best)
        self.best = min(self.best, merit)

    def last_good(self) -> str:
        """The last checkpoint, if there is one."""
        last = self.run.checkpoints / "last"
        return f"last good checkpoint: {last.resolve()}" if last.exists() else super().last_good()

    def rollout(self, state: TrainState) -> None:
        """Roll the current policy out; log success and a video of the first episode."""
        policy, cfg = state.ema.module, self.cfg
        trajectories = evaluate(
            policy,
            cfg.env,
            range(cfg.rollout_episodes),
            execution=Execution(cfg.exec_horizon),
            seed=seeds.ROLLOUTS.start,
        )
        summary = summarize(trajectories, num_modes=None, control_dt=self.data.control_dt)
        record = {
            "step": state.step,
            "rollout/success": summary.success.value,
            "rollout/score": summary.max_score.value,
            **({"rollout/broken": summary.num_broken} if summary.num_broken else {}),
        }
        self.newest |= record
        counted = judged(trajectories)
        video = self.run.directory / "videos" / f"step_{state.step:08d}.mp4"
        video.parent.mkdir(exist_ok=True)
        write_mp4(video, replay(cfg.env, counted[0]), 1 / self.data.control_dt)
        self._log(record, video)
        self.console.print(f"step {state.step:,}: success {summary.success.value:.2f} over {len(counted)} episodes")

    def _merit(self) -> float:
        """The lower the better; infinite where there is nothing to judge by."""
        if "rollout/score" in self.newest:
            return -self.newest["rollout/score"]
        return self.newest.get("validation_loss", float("inf"))

    def _log(self, record: Record, video: Path | None = None) -> None:
        self.metrics.log(record)
        if self.wandb is not None:
            self.wandb.log(dict(record), video=video)

    def _start_wandb(self, state: TrainState) -> WandbLogger:
        config = {"train": to_json(self.cfg, REGISTRY), "policy": to_json(state.policy.cfg, REGISTRY)}
        directory = self.run.directory
        return WandbLogger(directory, project=self.cfg.project, name=directory.name, config=config)
