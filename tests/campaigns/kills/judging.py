"""Calibration and evaluation that are killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robolearn import seeds
from robolearn.commands.main import main as cli
from robolearn.evaluation import evaluate as evaluation
from robolearn.files import finish_replacing
from tests.campaigns.kills.training import CPU, WithRun, eval_main
from tests.campaigns.kills.work import ENV, succeed

OLDER_GATE, NEWER_GATE = (seeds.CALIBRATION.start + further for further in (0, 100))
OLDER, NEWER = (seeds.EVALUATION.start + further for further in (0, 100))


class Judge(WithRun):
    """A command that judges a trained run and writes into it, new or in the place of what an older one wrote."""

    def begin_anew(self) -> None:
        """The trained run, not judged yet."""
        shutil.rmtree(self.target, ignore_errors=True)
        shutil.copytree(self.trained("run", 2), self.target, symlinks=True)

    def undisturbed(self, seed: int, command: Callable[[Path, int], None]) -> Path:
        """A copy of the run that the command has judged to its end, made once per seed."""
        path = self.folder / f"seed-{seed}"
        if not path.exists():
            shutil.copytree(self.folder / "run", path, symlinks=True)
            succeed(self.again(lambda _: command(path, seed)))
        return path


class Calibrate(Judge):
    """A gate or a safety set, new or in the place of an older one."""

    def __init__(self, folder: Path, *, begun: bool, safety_set: bool):
        super().__init__(folder)
        self.begun, self.what = begun, "tube" if safety_set else "gate"
        self.name = f"calibrate {self.what}{' again' if begun else ''}"

    def calibrate(self, run: Path, seed: int) -> None:
        """Calibrate on twenty-four episodes."""
        kind = ["--safety-set"] if self.what == "tube" else ["--score", "laplace"]
        cli(
            [
                "calibrate",
                str(run),
                *kind,
                "--episodes",
                "24",
                "--num-samples",
                "2",
                "--steps",
                "1",
                "--seed",
                str(seed),
                "--env.id",
                ENV,
                *CPU,
            ]
        )

    def prepare(self) -> None:
        """A run with an older calibration, or without."""
        self.begin_anew()
        old, new = (self.undisturbed(seed, self.calibrate) / self.what for seed in (OLDER_GATE, NEWER_GATE))
        self.old, self.new = contents(old), contents(new)
        if self.begun:
            shutil.copytree(old, self.target / self.what)

    def run(self, announce: Callable[[int], None]) -> None:
        """Calibrate on other seeds."""
        self.calibrate(self.target, NEWER_GATE)
        announce(1)

    def check(self, announced: int) -> None:
        """The older one or the newer one, whole."""
        finish_replacing(self.target / self.what)
        files = contents(self.target / self.what)
        allowed = [self.new] if announced else [self.new, self.old if self.begun else {}]
        assert files in allowed, f"a mixture: {sorted(files)}"

    def go_on(self) -> None:
        """The same command."""
        succeed(self.again())
        assert contents(self.target / self.what) == self.new


class Evaluate(Judge):
    """Results, new or in the place of older ones."""

    def __init__(self, folder: Path, *, begun: bool):
        super().__init__(folder)
        self.name, self.begun = f"eval{' again' if begun else ''}", begun

    def evaluate(self, run: Path, seed: int) -> None:
        """Evaluate twelve episodes, with a video; the page, whose drawing takes long, is a word."""
        evaluation.write_report = lambda path, report: path.write_text("page")
        evaluation.measure_latency = lambda *_, **__: {"p50_ms": 1.0}
        eval_main(
            [
                str(run),
                "--episodes",
                "12",
                "--num-envs",
                "4",
                "--videos",
                "1",
                "--steps",
                "1",
                "--seed",
                str(seed),
                "--env.id",
                ENV,
                *CPU,
            ]
        )

    def prepare(self) -> None:
        """A run with older results, or without."""
        self.begin_anew()
        old, new = (self.undisturbed(seed, self.evaluate) / "eval" for seed in (OLDER, NEWER))
        self.old, self.new = results(old), results(new)
        if self.begun:
            shutil.copytree(old, self.target / "eval")

    def run(self, announce: Callable[[int], None]) -> None:
        """Evaluate on other seeds."""
        self.evaluate(self.target, NEWER)
        announce(1)

    def check(self, announced: int) -> None:
        """The older results or the newer ones, whole; a stopped evaluation's are marked."""
        finish_replacing(self.target / "eval")
        if not (self.target / "eval" / "summary.json").exists():
            assert not self.begun
            assert not announced
            return
        written = results(self.target / "eval")
        partial = json.loads((self.target / "eval" / "summary.json").read_text()).get("partial")
        if partial is not None:
            assert not self.begun, "partial results took the place of complete ones"
            assert partial["finished"] == len(written[0].splitlines()) < partial["asked"] == 12
            return
        assert written in ([self.new] if announced else [self.new, self.old]), "a mixture"

    def go_on(self) -> None:
        """The same command."""
        succeed(self.again())
        assert results(self.target / "eval") == self.new


def contents(folder: Path) -> dict[str, bytes]:
    """Name -> content of the files in a folder but the lock, and what tells whether the disk takes anything."""
    if not folder.exists():
        return {}
    files = (p for p in folder.iterdir() if p.is_file())
    return {p.name: p.read_bytes() for p in files if not p.name.startswith(".") and p.suffix != ".part"}


def results(folder: Path) -> tuple[bytes, Any]:
    """Episodes and summary of an evaluation."""
    return (folder / "episodes.jsonl").read_bytes(), json.loads((folder / "summary.json").read_text())["summary"]
