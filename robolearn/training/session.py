"""What a run does while it trains: progress bar, metrics, checkpoints and rollouts, as hooks of the loop."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.random import fork_rng

from robolearn import seeds
from robolearn.config import to_json
from robolearn.errors import UnfinishedError, one_line, warn, warned
from robolearn.policies.registry import REGISTRY
from robolearn.remote.storage import RemoteError
from robolearn.remote.sync import send
from robolearn.rollout.clip_remarks import OFTEN
from robolearn.rollout.execution import Execution
from robolearn.rollout.metrics import Summary, summarize
from robolearn.rollout.replay import replay
from robolearn.rollout.roll_out import roll_out
from robolearn.rollout.video import write_mp4
from robolearn.starts import judged
from robolearn.training.fit import Hooks, Record, rolls_out
from robolearn.training.logger import MetricsFile, WandbLogger, is_disabled, is_number, read_records
from robolearn.training.run import DataFacts, Run
from robolearn.training.state import TrainState

MERITS = ("rollout/score", "rollout/return")  # the first that an environment has chooses the best checkpoint


class Session(Hooks):
    """The hooks of one run: progress bar, metrics, checkpoints and rollouts.

    Args:
        run: Where everything goes.
        state: What is trained, at the step from which it goes on.
        data: Facts about the demonstrations.
        films: Whether a video is made of every rollout.
    """

    def __init__(self, run: Run, state: TrainState, data: DataFacts, *, films: bool = True):
        self.run, self.cfg, self.data, self.films = run, state.cfg, data, films
        self.metrics = MetricsFile(run.directory / "metrics.jsonl", state.step)
        self.wandb = self._start_wandb(state) if self.cfg.wandb and not is_disabled() else None
        self.best, best_step = float("inf"), run.best_step()
        self.validation_loss, self.is_rolled_out = float("inf"), False
        for record in read_records(run.directory / "metrics.jsonl"):
            merit = self._merit(record)
            if record["step"] == best_step and merit is not None:
                self.best = merit
            self.is_rolled_out |= record["step"] == state.step and any(name in record for name in MERITS)
        self.console = Console()
        self.bar = Progress(
            TextColumn("step {task.completed:,.0f}/{task.total:,.0f}"),
            BarColumn(),
            TextColumn("{task.fields[pace]}"),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.bar.add_task("train", total=self.cfg.steps, completed=state.step, pace="")
        self.printed = time.monotonic()

    def __enter__(self) -> Session:
        self.bar.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.bar.stop()
        self.metrics.close()
        if self.wandb is not None:
            self.wandb.close()
        if isinstance(error, OSError):
            raise UnfinishedError(f"{one_line(error)}; {self.last_good()}", self.run.directory) from error

    def begin(self, state: TrainState) -> None:
        """Make up for a rollout that a kill prevented after its checkpoint was saved."""
        send(self.run.directory)  # what stands in the way of that is said before the work
        if state.step and rolls_out(self.cfg, state.step) and not self.is_rolled_out:
            self.rollout(state)

    def record(self, record: Record) -> None:
        """Write the numbers and move the bar; where there is no terminal, print a line now and then."""
        self._log(record)
        merit = None if self.cfg.rollout_every else self._merit(record)
        self.validation_loss = self.validation_loss if merit is None else merit
        if "steps_per_s" not in record:
            return
        loss = next(value for name, value in record.items() if name.endswith("loss"))
        pace = f"loss {loss:.4f}  {record['steps_per_s']:.0f} steps/s"
        self.bar.update(self.task, completed=record["step"], pace=pace)
        if not self.console.is_terminal and time.monotonic() - self.printed > 20:
            self.printed = time.monotonic()
            self.console.print(f"step {record['step']:,.0f}/{self.cfg.steps:,}  {pace}")

    def checkpoint(self, state: TrainState) -> None:
        """Save; best is the highest rollout score or, without rollouts, the lowest held-out loss."""
        self.run.save(state)
        if not self.cfg.rollout_every:
            self._judge(state, self.validation_loss)
        try:
            send(self.run.directory)
        except (RemoteError, OSError) as error:  # a network comes back; what fails in the end is an error
            warn(f"step {state.step:,}: {one_line(error)}")

    def last_good(self) -> str:
        """The last checkpoint, if there is one."""
        last = self.run.checkpoints / "last"
        return f"last good checkpoint: {last.resolve()}" if last.exists() else super().last_good()

    def rollout(self, state: TrainState) -> None:
        """Roll the saved policy out and judge it; log success and a video of the first episode.

        Training depends on none of it: what fails is a warning, and its numbers are absent. Environments may draw from
        torch's own streams, which dropout draws from.
        """
        cfg, step, device = self.cfg, state.step, state.policy.device
        with warned(f"step {step:,}: the rollout"), fork_rng([device] if device.type == "cuda" else []):
            trajectories = roll_out(
                state.ema.module,
                cfg.env,
                range(cfg.rollout_episodes),
                execution=Execution(cfg.exec_horizon),
                seed=seeds.ROLLOUTS.start,
            )
            summary = summarize(trajectories, num_modes=None, control_dt=self.data.control_dt)
            numbers = {"success": summary.success, "score": summary.max_score, "return": summary.episode_return}
            record = {
                "step": step,
                **{f"rollout/{name}": number.value for name, number in numbers.items() if number is not None},
                **({"rollout/broken": summary.num_broken} if summary.num_broken else {}),
                **({"rollout/clipped": summary.clipped.steps} if summary.clipped.steps else {}),
            }
            counted = judged(trajectories)
            self._log(record)
            merit = self._merit(record)
            assert merit is not None, "every rollout has a return"
            self._judge(state, merit)
            self.console.print(f"step {step:,}: {_outcome(summary)} over {len(counted)} episodes")
            if not self.films:
                return
            with warned(f"step {step:,}: the video"):
                video = self.run.directory / "videos" / f"step_{step:08d}.mp4"
                video.parent.mkdir(exist_ok=True)
                write_mp4(video, replay(cfg.env, counted[0]), 1 / self.data.control_dt)
                if self.wandb is not None:
                    self.wandb.log({"step": step}, video=video)

    def _judge(self, state: TrainState, merit: float) -> None:
        """Make the checkpoint that was just saved the best one if nothing was as good before."""
        if merit < self.best:
            self.best = merit
            self.run.choose_best(state)

    def _merit(self, record: Record) -> float | None:
        """What a record says of its checkpoint, the lower the better; None where it says nothing."""
        if not self.cfg.rollout_every:
            return record["validation_loss"] if is_number(record.get("validation_loss")) else None
        name = next((name for name in MERITS if is_number(record.get(name))), None)
        return None if name is None else -record[name]

    def _log(self, record: Record) -> None:
        self.metrics.log(record)
        if self.wandb is not None:
            self.wandb.log(dict(record))

    def _start_wandb(self, state: TrainState) -> WandbLogger:
        config = {"train": to_json(self.cfg, REGISTRY), "policy": to_json(state.policy.cfg, REGISTRY)}
        directory, run_id = self.run.directory, self.run.config().wandb_id
        return WandbLogger(directory, project=self.cfg.project, name=directory.name, config=config, run_id=run_id)


def _outcome(summary: Summary) -> str:
    """How a rollout went, in a few words: by success where the environment tells of it."""
    clipped = f", {summary.clipped.steps:.0%} of the steps clipped," if summary.clipped.steps >= OFTEN else ""
    if summary.success is None:
        return f"return {summary.episode_return.value:.4g}{clipped}"
    return f"success {summary.success.value:.2f}{clipped}"
