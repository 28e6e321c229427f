"""Training that is killed."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import robolearn.commands.eval
import robolearn.commands.train
from robolearn.commands.main import main as cli
from robolearn.training.run import Run
from tests.campaigns.kills.work import EXPERT, Work, succeed

ROOT = Path(__file__).parents[3]
CPU = ["--device", "cpu", "--threads", "1"]


train_main = functools.partial(robolearn.commands.train.main, prog="python train.py")
eval_main = functools.partial(robolearn.commands.eval.main, prog="python eval.py")


class WithRun(Work):
    """A command on a run; the store and the run are made once."""

    def store(self) -> Path:
        """Demonstrations."""
        path = self.folder / "store.zarr"
        if not path.exists():
            succeed(self.again(lambda _: cli(["collect", EXPERT, "--episodes", "8", "--out", str(path)])))
        return path

    def train(self, out: Path, steps: int, *more: str) -> None:
        """Train a tiny policy."""
        model = ["flow", "mlp", "--backbone.width", "8", "--backbone.depth", "1", "--batch-size", "8", "--amp", "off"]
        horizons = [
            "--obs-horizon",
            "1",
            "--action-horizon",
            "2",
            "--exec-horizon",
            "2",
            "--dataset.validation-fraction",
            "0.25",
        ]
        often = [
            "--log-every",
            "1",
            "--checkpoint-every",
            "2",
            "--keep-every",
            "2",
            "--dataset.short-episodes",
            "pad",
            "--no-wandb",
        ]
        path = ["--dataset.path", str(self.store()), "--out", str(out), "--steps", str(steps)]
        train_main([*model, *horizons, *often, *path, *CPU, *more])

    def trained(self, name: str, steps: int) -> Path:
        """A run that is trained."""
        path = self.folder / name
        self.store()
        if not path.exists():
            succeed(self.again(lambda _: self.train(path, steps)))
        return path


class Train(WithRun):
    """A run, new or begun."""

    def __init__(self, folder: Path, *, begun: bool):
        super().__init__(folder)
        self.name, self.begun = f"train{' --resume' if begun else ''}", begun

    def prepare(self) -> None:
        """Two steps, or none."""
        shutil.rmtree(self.target, ignore_errors=True)
        self.trained("reference", 6)
        if self.begun:
            begun = shutil.copytree(self.folder / "reference", self.target, symlinks=True) / "checkpoints"
            for path in begun.iterdir():
                if path.is_symlink():
                    path.unlink()
                elif path.name != "00000002":
                    shutil.rmtree(path)
            (begun / "last").symlink_to("00000002")

    def run(self, announce: Callable[[int], None]) -> None:
        """Train to the sixth step."""
        save = Run.save

        def noted(run: Run, state: Any, **options: Any) -> None:
            save(run, state, **options)
            announce(state.step)

        Run.save = noted
        if self.begun:
            train_main(["--resume", str(self.target)])
        else:
            self.train(self.target, 6)

    def check(self, announced: int) -> None:
        """The last checkpoint that was announced is there."""
        run = Run(self.target)
        step = run.last_step() or 0
        assert step >= max(announced, 2 * self.begun), f"step {step}, announced {announced}"

    def go_on(self) -> None:
        """The same command, or --resume where it advises that."""
        ended = self.again()
        if ended.status == 2 and f"--resume {self.target}" in ended.error:
            ended = self.again(lambda _: train_main(["--resume", str(self.target)]))
        succeed(ended)
        for name in ("train.safetensors", "policy.safetensors"):
            resumed, wanted = (Run(run).checkpoint() / name for run in (self.target, self.folder / "reference"))
            assert resumed.read_bytes() == wanted.read_bytes(), f"{name} is another than that of an undisturbed run"
