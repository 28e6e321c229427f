"""The run directory: what a training run leaves on disk, loadable after a kill at any moment.

    RUN/config.json                   TrainConfig, with the environment and the observation keys filled in
    RUN/data.json                     what was trained on: path, content hash, split, control_dt
    RUN/metrics.jsonl                 one record per line
    RUN/checkpoints/00005000/         a step: policy.json and policy.safetensors (the moving average),
                                      train.safetensors and train.json (everything, to go on from)
    RUN/checkpoints/last, best        links to a step
    RUN/members/1 ...                 the other members of an ensemble, each a run; see members.py

A checkpoint is written beside its place, flushed and renamed; the links are replaced atomically.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.policies.policy import PolicyConfig
from robolearn.policies.registry import REGISTRY
from robolearn.training.config import TrainConfig
from robolearn.training.state import TrainState


@dataclass(frozen=True)
class DataFacts:
    """What was trained on, as evaluation and reports need it."""

    path: str
    """Of the store, or of several with plus signs in between."""
    content_hash: str
    """sha256 of the arrays trained on."""
    control_dt: float
    """Seconds per action; 0.1 where the store does not say."""
    num_episodes: int
    """Episodes trained on; a bootstrap counts repetitions."""
    num_steps: int
    """Steps trained on."""
    validation_episodes: tuple[int, ...]
    """Episodes held out, numbered through all stores."""


class Run:
    """A run directory.

    Args:
        directory: Existing or new.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self.checkpoints = directory / "checkpoints"

    @classmethod
    def create(cls, directory: Path, cfg: TrainConfig, data: DataFacts) -> Run:
        """Start a new run.

        Raises:
            ValueError: The directory holds something already and cfg.overwrite is False.
        """
        if directory.exists() and any(directory.iterdir()):
            if not cfg.overwrite:
                raise ValueError(
                    f"{directory} exists; choose another --out, or give --overwrite, or --resume {directory}"
                )
            if not (directory / "config.json").exists():
                raise ValueError(f"{directory} is no run, so --overwrite leaves it alone; choose another --out")
            shutil.rmtree(directory)
        run = cls(directory)
        run.checkpoints.mkdir(parents=True)
        write_json(directory / "data.json", to_json(data, {}))
        run.write_config(cfg)
        return run

    @classmethod
    def open(cls, directory: Path) -> Run:
        """Open an existing run.

        Raises:
            ValueError: The directory is no run.
        """
        if not (directory / "config.json").exists():
            raise ValueError(f"{directory} is no run: it has no config.json")
        return cls(directory)

    def write_config(self, cfg: TrainConfig) -> None:
        """Write config.json."""
        write_json(self.directory / "config.json", to_json(cfg, REGISTRY))

    def config(self) -> TrainConfig:
        """Read config.json."""
        path = self.directory / "config.json"
        return from_json(TrainConfig, read_json(path), REGISTRY, str(path))

    def policy_config(self) -> PolicyConfig:
        """Read the policy's configuration from the last checkpoint."""
        path = self.checkpoint("last") / "policy.json"
        return from_json(PolicyConfig, read_json(path), REGISTRY, str(path))

    def data(self) -> DataFacts:
        """Read data.json."""
        path = self.directory / "data.json"
        return from_json(DataFacts, read_json(path), {}, str(path))

    def checkpoint(self, name: str = "last") -> Path:
        """Directory of a checkpoint: "last", "best" or a step.

        Raises:
            ValueError: There is no such checkpoint.
        """
        path = self.checkpoints / (f"{int(name):08d}" if name.isdigit() else name)
        if not path.is_dir():
            there = sorted(p.name for p in self.checkpoints.glob("[!.]*") if p.is_dir())
            raise ValueError(f"{self.directory} has no checkpoint {name!r}; it has: {', '.join(there) or 'none'}")
        return path

    def member(self, index: int) -> Path:
        """Directory of a member >= 1 of the ensemble; the run itself is member 0."""
        return self.directory / "members" / str(index)

    def members(self, name: str = "last") -> list[Path]:
        """Directories of a checkpoint of all members [k], the run's own first.

        Args:
            name: See checkpoint.

        Raises:
            ValueError: A member has no such checkpoint.
        """
        others = [Run.open(self.member(index)) for index in range(1, self.config().num_members)]
        return [run.checkpoint(name) for run in (self, *others)]

    def best_step(self) -> int | None:
        """Step of the best checkpoint, if there is one."""
        link = self.checkpoints / "best"
        return int(link.resolve().name) if link.exists() else None

    def save(self, state: TrainState, *, best: bool = False) -> None:
        """Write a checkpoint of this step, point ``last`` (and ``best``) at it, drop what need not stay."""
        final = self.checkpoints / f"{state.step:08d}"
        part = self.checkpoints / f".{state.step:08d}.part"
        shutil.rmtree(part, ignore_errors=True)
        state.ema.module.save(part)
        tensors = {k: v.detach().cpu().contiguous() for k, v in state.tensors().items()}
        save_file(tensors, part / "train.safetensors")
        write_json(part / "train.json", {"step": state.step})
        for file in part.iterdir():
            flush(file)
        # A step beyond ``last`` can only be what a kill left before it was linked.
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        flush(self.checkpoints)
        for link in ("last", "best") if best else ("last",):
            self._point(link, final.name)
        self._drop(state.cfg.keep_every)

    def restore(self, state: TrainState) -> None:
        """Go on from the last checkpoint.

        Raises:
            ValueError: There is none, it is damaged, or it is of another policy.
        """
        directory = self.checkpoint("last")
        step = read_json(directory / "train.json")["step"]
        path = directory / "train.safetensors"
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path}: damaged ({error})") from None
        try:
            state.restore(tensors, step)
        except (KeyError, RuntimeError):
            raise ValueError(
                f"{path}: not of this policy; horizons and observations cannot change when resuming"
            ) from None

    def _point(self, link: str, target: str) -> None:
        temporary = self.checkpoints / f".{link}.part"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(self.checkpoints / link)

    def _drop(self, keep_every: int | None) -> None:
        """Remove unfinished checkpoints and those neither last, best nor a multiple of ``keep_every``."""
        linked = {(self.checkpoints / link).resolve().name for link in ("last", "best")}
        for path in self.checkpoints.iterdir():
            is_step = path.name.isdigit() and path.name not in linked
            kept = keep_every is not None and path.name.isdigit() and int(path.name) % keep_every == 0
            if path.is_symlink() and path.name.endswith(".part"):
                path.unlink()
            elif (is_step and not kept) or path.name.endswith(".part"):
                shutil.rmtree(path)


def flush(path: Path) -> None:
    """Make sure that a file or directory has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
