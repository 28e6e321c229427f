"""The directory of a plan run, loadable after a kill at any moment.

    OUT/config.json                 plan_version, and PlanConfig with the keys of the state filled in
    OUT/trials/0000/result.json     what came of an episode, in the order of their seeds, the random ones first
    OUT/trials/0000/steps.safetensors   its states [t + 1, s], actions [t, a] and rewards [t]
    OUT/model/                      dynamics.json, dynamics.safetensors: the ensemble that was fitted last; and
                                    fitted.json, which says to how many episodes

The files of a folder appear together. Who writes holds the lock of the directory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from robolearn.config import first_difference, from_json, read_json, to_json, write_json
from robolearn.dynamics.config import SEARCHES
from robolearn.dynamics.ensemble import CONFIG_FILE, WEIGHTS_FILE, DynamicsEnsemble
from robolearn.errors import UserError
from robolearn.files import StrPath, finish_replacing, replacing_all
from robolearn.nets.weights import load_tensors, save_tensors
from robolearn.planning.config import PlanConfig
from robolearn.unused import is_begun, is_unused

VERSION_FIELD, VERSION = "plan_version", 1  # of this layout
PLAN_FILE, RESULT_FILE, STEPS_FILE, FITTED_FILE = "config.json", "result.json", "steps.safetensors", "fitted.json"
ARRAYS = ("states", "actions", "rewards")
TRIAL_FILES, MODEL_FILES = (RESULT_FILE, STEPS_FILE), (CONFIG_FILE, WEIGHTS_FILE, FITTED_FILE)
FREE = ("out", "overwrite", "trials")  # what may change when a run goes on
WRITTEN = re.compile(
    r"(trials/\d{4,}/(\.new(\.part)?/)?(result\.json|steps\.safetensors)"
    r"|model/(\.new(\.part)?/)?(dynamics\.json|dynamics\.safetensors|fitted\.json))(\.gone)?(\.part)?"
)


@dataclass(frozen=True)
class TrialResult:
    """What came of an episode."""

    episode: int
    """Number, the random ones counted."""
    kind: Literal["random", "planned"]
    seed: int
    """Its start is that of this seed."""
    total: float
    """Sum of rewards: its return."""
    steps: int
    reason: str
    """How it ended: time, success, failure, terminated, unstable."""
    success: bool
    model_error: float | None
    """Root mean square, over its steps and the numbers of the state, of what the ensemble that planned predicted a step
    ahead, in units of the spread of the changes that it was fitted to; null where no ensemble planned."""
    reward_error: float | None
    """The same of the rewards that it learned."""
    seconds: float
    """That the episode took, by the clock."""
    fit_seconds: float
    """That fitting the ensemble that planned took; 0 where it was there already."""
    ended: bool = False
    """Whether it came to an end of its own, and not because its time was up."""


@dataclass(frozen=True)
class Steps:
    """An episode.

    Attributes:
        states: Before the first action, and after each.
        actions: As they were planned.
        rewards: Of each action.
        ended: Whether it came to an end of its own, and not because its time was up.
    """

    states: Float[np.ndarray, "t1 s"]
    actions: Float[np.ndarray, "t a"]
    rewards: Float[np.ndarray, " t"]
    ended: bool


class PlanRun:
    """The directory of a plan run.

    Args:
        directory: Existing or new.
    """

    def __init__(self, directory: StrPath):
        self.directory = Path(directory)

    @classmethod
    def begin_or_go_on(cls, cfg: PlanConfig) -> PlanRun:
        """Start a run in `cfg.out`, or go on with the one that was started there with the same settings.

        Args:
            cfg: With all that it leaves open filled in. Whoever calls holds the lock of `cfg.out`.

        Raises:
            UserError: Something else is there, or a run with other settings.
        """
        run = cls(cfg.out)
        if cfg.overwrite and not is_unused(run.directory, PLAN_FILE):
            run._check_replaceable()
            run._clear()
        elif is_begun(run.directory, PLAN_FILE, "no plan run"):
            _check_same(cfg, run.config(), run.directory)
        write_json(run.directory / PLAN_FILE, {VERSION_FIELD: VERSION, **to_json(cfg, SEARCHES)})
        return run

    def config(self) -> PlanConfig:
        """Read config.json.

        Raises:
            UserError: It is missing, damaged, or of another version or kind of run.
        """
        path = self.directory / PLAN_FILE
        content = read_json(path)
        if not isinstance(content, dict) or VERSION_FIELD not in content:
            raise UserError(
                f"{self.directory} is no plan run: its {PLAN_FILE} has no {VERSION_FIELD}; choose another `out`"
            )
        if content.pop(VERSION_FIELD) != VERSION:
            raise UserError(f"{path}: {VERSION_FIELD} is not {VERSION}, the one known here")
        return from_json(PlanConfig, content, SEARCHES, str(path))

    def results(self) -> list[TrialResult]:
        """What came of the episodes, in their order.

        Raises:
            UserError: A file is damaged.
        """
        results = list[TrialResult]()
        while (self._trial(len(results)) / RESULT_FILE).exists():
            results.append(self._result(len(results)))
        return results

    def steps(self, episode: int) -> Steps:
        """An episode.

        Raises:
            UserError: It is missing or damaged.
        """
        path = self._trial(episode) / STEPS_FILE
        rows = load_tensors(path)
        if set(rows) != set(ARRAYS) or len({len(rows["actions"]), len(rows["rewards"]), len(rows["states"]) - 1}) > 1:
            raise UserError(f"{path}: damaged; it must hold states [t + 1, s], actions [t, a] and rewards [t]")
        arrays = {name: value.numpy() for name, value in rows.items()}
        return Steps(**arrays, ended=self._result(episode).ended)

    def add(self, result: TrialResult, steps: Steps) -> None:
        """Keep an episode."""
        with replacing_all(self._trial(result.episode), TRIAL_FILES) as folder:
            save_tensors({name: torch.from_numpy(getattr(steps, name)) for name in ARRAYS}, folder / STEPS_FILE)
            write_json(folder / RESULT_FILE, to_json(result, {}))

    def model(self) -> DynamicsEnsemble:
        """The ensemble that was fitted last.

        Raises:
            UserError: There is none, or a file is damaged.
        """
        finish_replacing(self.directory / "model")
        return DynamicsEnsemble.load(self.directory / "model")

    def fitted(self) -> int:
        """To how many episodes the ensemble was fitted; 0 where there is none.

        Raises:
            UserError: The file is damaged.
        """
        folder = self.directory / "model"
        finish_replacing(folder)
        path = folder / FITTED_FILE
        return from_json(Fitted, read_json(path), {}, str(path)).episodes if path.exists() else 0

    def keep(self, model: DynamicsEnsemble, episodes: int) -> None:
        """Keep an ensemble instead of the one before."""
        with replacing_all(self.directory / "model", MODEL_FILES) as folder:
            model.save(folder)
            write_json(folder / FITTED_FILE, to_json(Fitted(episodes), {}))

    def _result(self, episode: int) -> TrialResult:
        path = self._trial(episode) / RESULT_FILE
        return from_json(TrialResult, read_json(path), {}, str(path))

    def _trial(self, episode: int) -> Path:
        folder = self.directory / "trials" / f"{episode:04d}"
        finish_replacing(folder)
        return folder

    def _check_replaceable(self) -> None:
        if self.directory.is_symlink():
            raise UserError(f"{self.directory} is a link, so `overwrite` leaves it alone; give the directory itself")
        content = read_json(path) if (path := self.directory / PLAN_FILE).exists() else {}
        if not isinstance(content, dict) or VERSION_FIELD not in content:
            raise UserError(f"{self.directory} is no plan run, so `overwrite` leaves it alone; choose another `out`")

    def _clear(self) -> None:
        """Remove what a run wrote, and nothing else that may lie there; links are removed, never followed."""
        for path in sorted(self.directory.rglob("*"), reverse=True):  # what is in a folder before the folder
            inside = path.relative_to(self.directory)
            if path.is_symlink() or path.is_file():
                if WRITTEN.fullmatch(inside.as_posix()):
                    path.unlink()
            elif inside.parts[0] in ("trials", "model") and not any(path.iterdir()):
                path.rmdir()


@dataclass(frozen=True)
class Fitted:
    """What an ensemble was fitted to."""

    episodes: int


def _check_same(cfg: PlanConfig, before: PlanConfig, directory: Path) -> None:
    """Refuse settings that would make another run of one that goes on."""
    if differs := first_difference(cfg, before, SEARCHES, FREE):
        raise UserError(f"{directory}: {differs}; choose another `out`, or give `overwrite`")
