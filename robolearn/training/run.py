"""The run directory: what a training run leaves on disk, loadable after a kill at any moment.

    RUN/config.json                   run_version, and TrainConfig with what it leaves open filled in: environment, keys
    RUN/data.json                     what was trained on: path, content hash, split, control_dt
    RUN/metrics.jsonl                 one record per line
    RUN/checkpoints/00005000/         a step: policy.json and policy.safetensors (the moving average),
                                      train.safetensors and train.json (everything, to go on from)
    RUN/checkpoints/last, best        links to a step
    RUN/members/1 ...                 the other members of an ensemble, each a run; see members.py

The first two appear together, and before the first step. A checkpoint is written beside its place, flushed and
renamed; the links are replaced atomically. Who writes holds the lock of the directory.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.data.attrs import check_control_dt
from robolearn.errors import UserError
from robolearn.files import StrPath, finish_replacing, flush, naming, remove, replacing_all
from robolearn.nets.weights import load_tensors, save_tensors
from robolearn.paths import place_of
from robolearn.policies.policy import CONFIG_FILE as POLICY_FILE
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import REGISTRY
from robolearn.remote.sync import fetched
from robolearn.training.config import LARGEST, TrainConfig
from robolearn.training.overwrite import clear_run
from robolearn.training.state import TrainState
from robolearn.unused import is_unused

VERSION_FIELD, VERSION = "run_version", 2  # of this layout
CONFIG_FILE, DATA_FILE = "config.json", "data.json"
OLD_FILE = "run.json"  # of version 1: family, backbone and run in Weights & Biases, which config.json did not say
MODEL = ("family", "backbone")
UNFINISHED = re.compile(r"\.(\d{8,}|last|best)\.part")  # what a kill leaves among the checkpoints


@dataclass(frozen=True)
class EarlierData:
    """What a run was trained on up to a step, before the demonstrations changed."""

    path: str
    content_hash: str
    num_episodes: int
    num_steps: int
    until_step: int


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
    training_episodes: tuple[int, ...] = ()
    """Episodes trained on, with the repetitions of a bootstrap; empty in older runs."""
    store_episodes: tuple[int, ...] = ()
    """Episodes in each store, which tell the numbers of one store from those of the next."""
    earlier: tuple[EarlierData, ...] = ()
    """What was trained on before, if the run went on with changed demonstrations."""
    action_low: tuple[float, ...] = ()
    """The least number of each dimension of the actions; empty in older runs."""
    action_high: tuple[float, ...] = ()
    """The greatest ones."""

    def __post_init__(self) -> None:
        check_control_dt(self.control_dt, "data.json")
        if self.training_episodes and len(self.training_episodes) != self.num_episodes:
            raise UserError(f"num_episodes is {self.num_episodes}, training_episodes has {len(self.training_episodes)}")
        if set(self.training_episodes) & set(self.validation_episodes):
            raise UserError("an episode is both trained on and held out")
        if len(self.action_low) != len(self.action_high):
            raise UserError(f"action_low has {len(self.action_low)} numbers, action_high {len(self.action_high)}")
        if min((*self.training_episodes, *self.validation_episodes, *self.store_episodes), default=0) < 0:
            raise UserError("an episode or a number of episodes is negative")


class Run:
    """A run directory.

    Args:
        directory: Existing or new.
    """

    def __init__(self, directory: StrPath):
        self.directory = place_of(directory)
        self.checkpoints = self.directory / "checkpoints"

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"

    @classmethod
    def create(cls, directory: StrPath, cfg: TrainConfig, data: DataFacts) -> Run:
        """Start a new run, with a name of its own in Weights & Biases.

        Raises:
            UserError: See check_free.
        """
        cls.check_free(directory, overwrite=cfg.overwrite)
        run = cls(directory)
        if run.exists():
            clear_run(run.directory)
        run.write(cfg if cfg.wandb_id else dataclasses.replace(cfg, wandb_id=secrets.token_hex(4)), data)
        run.checkpoints.mkdir(exist_ok=True)
        return run

    @classmethod
    def check_free(cls, directory: StrPath, *, overwrite: bool) -> None:
        """Refuse a directory that a new run would spoil.

        Raises:
            UserError: It holds something already, and that is not a run, or is not to be overwritten.
        """
        run, directory = cls(directory), place_of(directory)
        if is_unused(directory, CONFIG_FILE):
            return
        if not overwrite:
            resume = f", or give `overwrite`, or `resume` {directory}" if run.exists() else ""
            raise UserError(f"{directory} exists; choose another `out`{resume}")
        if directory.is_symlink():
            raise UserError(f"{directory} is a link, so `overwrite` leaves it alone; give the directory itself")
        if run.version() is None:
            raise UserError(
                f"{directory} is no run, so `overwrite` leaves it alone; choose another `out` (a run has a "
                f"{CONFIG_FILE} with a {VERSION_FIELD})"
            )

    @classmethod
    def open(cls, directory: StrPath) -> Run:
        """Open an existing run.

        Raises:
            UserError: The directory is no run.
        """
        run = cls(fetched(directory))
        if not run.exists():
            raise UserError(f"{directory} is no run: it has no {CONFIG_FILE}")
        return run

    def exists(self) -> bool:
        """Whether the run was begun; a beginning that was killed when all was written is ended first."""
        finish_replacing(self.directory)
        return (self.directory / CONFIG_FILE).exists()

    def clear_unfinished(self) -> None:
        """Remove what has neither a version nor a checkpoint: a beginning that an older release was killed in.

        For directories that hold nothing but a run, such as those of members.
        """
        try:
            is_begun = self.version() is not None
        except UserError:  # such a kill may have left half a file
            is_begun = False
        if self.last_step() is None and not is_begun:
            remove(self.directory)

    def version(self) -> int | None:
        """Of the layout; None for a directory that does not say, as runs of before version 1 did not.

        Raises:
            UserError: It is one that is not known here, or a file is damaged.
        """
        for name, field, known in ((CONFIG_FILE, VERSION_FIELD, VERSION), (OLD_FILE, "version", 1)):
            path = self.directory / name
            content = read_json(path) if path.exists() else {}
            if not isinstance(content, dict):
                raise UserError(f"{path}: expected an object, found {content!r:.80}")
            if field in content:
                if type(content[field]) is not int or content[field] != known:
                    raise UserError(f"{path}: {field} is {content[field]!r:.20}, the one known here is {known}")
                return known
        return None

    def write(self, cfg: TrainConfig, data: DataFacts) -> None:
        """Write config.json and data.json, both or none; what older releases wrote beside them goes."""
        with replacing_all(self.directory, (CONFIG_FILE, DATA_FILE)) as folder:
            write_json(folder / CONFIG_FILE, {VERSION_FIELD: VERSION, **to_json(cfg, REGISTRY)})
            write_json(folder / DATA_FILE, to_json(data, {}))
        (self.directory / OLD_FILE).unlink(missing_ok=True)

    def config(self) -> TrainConfig:
        """Read config.json, and what older releases wrote elsewhere.

        Raises:
            UserError: It is damaged or of another version, or nothing says which policy is trained.
        """
        path, version = self.directory / CONFIG_FILE, self.version()
        content = read_json(path)
        if version == VERSION:
            del content[VERSION_FIELD]
        else:
            content = {**content, **self._old_model(version)}
        return from_json(TrainConfig, content, REGISTRY, str(path))

    def policy_config(self) -> PolicyConfig:
        """What the policy of the last checkpoint is built of."""
        path = self.checkpoint("last") / POLICY_FILE
        return from_json(PolicyConfig, read_json(path), REGISTRY, str(path))

    def _old_model(self, version: int | None) -> dict[str, Any]:
        """What config.json did not say before it had a version, from run.json or the last checkpoint."""
        there = {} if version is None else read_json(self.directory / OLD_FILE)
        if there.get("family") is None or there.get("backbone") is None:
            there |= {k: v for k, v in read_json(self.checkpoint("last") / POLICY_FILE).items() if k in MODEL}
        return {name: there[name] for name in (*MODEL, "wandb_id") if name in there}

    def data(self) -> DataFacts:
        """Read data.json."""
        path = self.directory / DATA_FILE
        return from_json(DataFacts, read_json(path), {}, str(path))

    def checkpoint(self, name: str = "last") -> Path:
        """Directory of a checkpoint: "last", "best" or a step.

        Raises:
            UserError: There is no such checkpoint.
        """
        path = self.checkpoints / (f"{int(name):08d}" if name.isdigit() else name)
        if name != Path(name).name or name in ("", "..") or not path.is_dir():
            there = sorted(p.name for p in self.checkpoints.glob("[!.]*") if p.is_dir())
            raise UserError(f"{self.directory} has no checkpoint {name!r}; it has: {', '.join(there) or 'none'}")
        return path

    def member(self, index: int) -> Path:
        """Directory of a member >= 1 of the ensemble; the run itself is member 0."""
        return self.directory / "members" / str(index)

    def members(self, name: str = "last") -> list[Path]:
        """Directories of a checkpoint of all members [k], the run's own first.

        Args:
            name: See checkpoint.

        Raises:
            UserError: A member has no such checkpoint.
        """
        others = [Run.open(self.member(index)) for index in range(1, self.config().num_members)]
        return [run.checkpoint(name) for run in (self, *others)]

    def is_complete(self) -> bool:
        """Whether all members have been trained to the last step."""
        cfg = self.config()
        others = (Run(self.member(index)) for index in range(1, cfg.num_members))
        return all(run.last_step() == cfg.steps for run in (self, *others))

    def last_step(self) -> int | None:
        """Step of the last checkpoint, if there is one."""
        return self._step("last")

    def best_step(self) -> int | None:
        """Step of the best checkpoint, if there is one."""
        return self._step("best")

    def _step(self, link: str) -> int | None:
        path = self.checkpoints / link / "train.json"
        return read_step(path.parent) if path.exists() else None

    def save(self, state: TrainState, *, best: bool = False) -> None:
        """Write a checkpoint of this step, point ``last`` (and ``best``) at it, drop what need not stay.

        Raises:
            OSError: The disk refuses; the checkpoints that were there before stay.
        """

        def write(part: Path) -> None:
            state.ema.module.save(part)
            save_tensors(state.tensors(), part / "train.safetensors")

        self._add_checkpoint(write, state.step, best=best, keep_every=state.cfg.keep_every)

    def save_policy(self, policy: Policy, step: int) -> None:
        """Write a checkpoint that nothing can go on from, as the last and the best one.

        Raises:
            OSError: See save.
        """
        self.checkpoints.mkdir(exist_ok=True)
        self._add_checkpoint(policy.save, step, best=True, keep_every=None)

    def _add_checkpoint(self, write: Callable[[Path], None], step: int, *, best: bool, keep_every: int | None) -> None:
        final = self.checkpoints / f"{step:08d}"
        part = self.checkpoints / f".{step:08d}.part"
        remove(part)
        try:
            with naming(final, part):
                write(part)
                write_json(part / "train.json", {"step": step})
                for file in part.iterdir():
                    flush(file)
            # A step beyond ``last`` can only be what a kill left before it was linked.
            remove(final)
            part.rename(final)
        finally:
            remove(part)
        flush(self.checkpoints)
        self._point("last", final.name)
        if best:
            self._point("best", final.name)
        self._drop(keep_every)

    def choose_best(self, state: TrainState) -> None:
        """Point ``best`` at the saved checkpoint of this step."""
        self._point("best", f"{state.step:08d}")
        self._drop(state.cfg.keep_every)

    def restore(self, state: TrainState) -> None:
        """Go on from the last checkpoint.

        Raises:
            UserError: There is none, it is damaged, or it is of another policy.
        """
        directory = self.checkpoint("last")
        step, path = read_step(directory), directory / "train.safetensors"
        tensors = load_tensors(path)
        if problem := state.problem(tensors, step):
            raise UserError(f"{path}: {problem}")
        try:
            state.restore(tensors, step)
        except (KeyError, RuntimeError, TypeError):
            raise UserError(
                f"{path}: not of this policy; horizons and observations cannot change when resuming"
            ) from None

    def _point(self, link: str, target: str) -> None:
        temporary = self.checkpoints / f".{link}.part"
        remove(temporary)
        temporary.symlink_to(target)
        if not (self.checkpoints / link).is_symlink():
            remove(self.checkpoints / link)  # a copy of the run in which the link has become a directory
        temporary.replace(self.checkpoints / link)

    def _drop(self, keep_every: int | None) -> None:
        """Remove unfinished checkpoints and those neither last, best nor a multiple of ``keep_every``; nothing else."""
        linked = {(self.checkpoints / link).resolve().name for link in ("last", "best")}
        for path in self.checkpoints.iterdir():
            is_step = path.name.isdigit() and path.name not in linked
            kept = keep_every is not None and path.name.isdigit() and int(path.name) % keep_every == 0
            if (is_step and path.is_dir() and not kept) or UNFINISHED.fullmatch(path.name):
                remove(path)


def read_step(directory: Path) -> int:
    """Step of a checkpoint.

    Raises:
        UserError: train.json does not say one that can be.
    """
    path, said = directory / "train.json", read_json(directory / "train.json")
    step = said.get("step") if isinstance(said, dict) else None
    if type(step) is not int or not 0 <= step < LARGEST:
        raise UserError(f"{path}: step is {step!r:.60}, expected a whole number in 0..{LARGEST - 1}")
    name = directory.resolve().name
    if name.isdigit() and int(name) != step:
        raise UserError(f"{path}: step is {step}, its directory is of step {int(name)}")
    return step
