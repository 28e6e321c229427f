"""What a training run is asked to do; written into the run as config.json."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from robolearn import seeds
from robolearn.config import check_counts, since
from robolearn.data.normalizer import Mode
from robolearn.data.splits import Padding, ShortEpisodes
from robolearn.data.symmetry import SymmetryUse
from robolearn.errors import UserError
from robolearn.files import take_paths
from robolearn.keymap import KeyMap
from robolearn.nets.backbone import BackboneConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.vision import VisionConfig
from robolearn.paths import place_of
from robolearn.policies.chunk_frame import ChunkFrameKind
from robolearn.policies.family import FamilyConfig
from robolearn.policies.policy import PolicyConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.swag import SwagConfig

LARGEST, MAX_LAG = 1 << 32, 1000  # a count or seed must be below; steps
MAX_MEMORY_GIB = 1 << 16
PLACES = ("path", "cache_dir", "memory_gib")  # where data are, of no effect on what is learned


@dataclass(frozen=True)
class DatasetConfig:
    """Which demonstrations, and which part of them."""

    path: tuple[Path | str, ...] | Path | str = (Path("datasets/avoid.zarr"),)
    """Demonstrations: zarr directories or .zip files; several are mixed."""
    obs_keys: tuple[str, ...] | None = None
    """Observation keys to feed the policy; by default those that the store declares."""
    angles: tuple[str, ...] = ()
    """Observed angles in rad, as KEY:DIMENSION; the network sees their sine and cosine."""
    quaternions: tuple[str, ...] = ()
    """Observed quaternions, as KEY:FIRST of four dimensions in any order; the network sees two columns of the matrix of
    the rotation, which are the same for both signs."""
    drop_episodes: tuple[int, ...] = ()
    """Episodes to leave out, numbered from 0 through all stores."""
    trim_idle: bool = False
    """Leave out the beginning of an episode in which nothing moves."""
    action_lag: int = 0
    """Steps by which actions were recorded late: that of so many steps later belongs to an observation."""
    num_episodes: int | None = None
    """Train on a random subset of this many episodes."""
    short_episodes: ShortEpisodes = "refuse"
    """What to do about episodes shorter than a window, which spans obs_horizon - 1 + action_horizon steps."""
    padding: Padding = "masked"
    """Steps of a window behind its episode's end: masked, they do not count; held, they count as repetitions of the
    last action, so that a family that denoises whole chunks is trained on all that it is shown."""
    validation_fraction: float = 0.05
    """Share of the episodes held out for the validation loss, in [0, 1)."""
    split_seed: int | None = None
    """Fixes the subset and the held-out episodes; by default --seed."""
    bootstrap: bool = False
    """Train on as many episodes drawn with replacement by --seed; none of those held out."""
    normalization: Mode = "minmax"
    """How observations are normalized; with quantile 1 % of the numbers lie beyond -1 and 1 at each end, so that a few
    that are far away take no range. Actions always go to [-1, 1], the range the families work in."""
    cache_dir: Path | str | None = None
    """Where stores larger than memory are decoded to; by default robolearn's folder in the user's cache."""
    obs: tuple[str, ...] = ()
    """Keys made of those of the stores: NEW=SOURCE, as in img=pixels agent_pos=state[:2] state=qpos+qvel action=act;
    the policy then sees these unless obs_keys names others."""
    memory_gib: float = 8.0
    """GiB of decoded observations that stay in memory; of a store with more, frames are decoded out of kept videos as
    they are needed, and what has no videos is decoded to cache_dir."""

    def __post_init__(self) -> None:
        KeyMap.parse(self.obs, "dataset.obs")
        object.__setattr__(self, "path", self.paths)
        take_paths(self, "cache_dir")
        if self.obs_keys is not None and len(set(self.obs_keys)) < len(self.obs_keys):
            raise UserError(f"`dataset.obs_keys` {' '.join(self.obs_keys)}: a key is given twice")
        if not 0 <= self.memory_gib <= MAX_MEMORY_GIB:
            raise UserError(f"`dataset.memory_gib` {self.memory_gib:g} must be in 0..{MAX_MEMORY_GIB}")
        if not 0 <= self.action_lag <= MAX_LAG:
            raise UserError(f"`dataset.action_lag` {self.action_lag} must be in 0..{MAX_LAG}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The stores, one or several."""
        return (place_of(self.path),) if isinstance(self.path, str | os.PathLike) else tuple(map(place_of, self.path))

    @property
    def keymap(self) -> KeyMap:
        """What `obs` says."""
        return KeyMap.parse(self.obs, "dataset.obs")


@dataclass(frozen=True)
class TrainConfig:
    """What a training run is asked to do: all of it, so that the same again makes the same policy."""

    family: FamilyConfig = field(default_factory=TokensConfig)
    backbone: BackboneConfig = field(default_factory=MLPConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    obs_horizon: int = 2
    """Past observations fed to the policy, now included."""
    action_horizon: int = 16
    """Length of the predicted chunk."""
    exec_horizon: int = 8
    """Actions executed before replanning."""
    prefix_horizon: int = 0
    """Learn to go on from up to so many actions that are decided already, for execution with a delay; 0 for none."""
    obs_noise: float = 0.0
    """Noise on observations in training, in units of half the range of each number; images have none. About 0.03 keeps
    a policy from copying its own motion."""
    chunk_frame: ChunkFrameKind = since("relative", before="absolute")
    """What the family learns of actions: relative to where their chunk starts and in units of how far its steps go from
    there; absolute, as they are; or scaled, in units of their own spread, for actions that are velocities."""

    symmetry: SymmetryUse = "ignore"
    """Use of the environment's symmetry: augment turns demonstrations; canonical makes policies exactly equivariant."""

    steps: int = 18_000
    """Optimizer steps."""
    batch_size: int = 256
    """Windows per step, over all processes together."""
    lr: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 1e-6
    """AdamW's decoupled weight decay."""
    warmup_steps: int = 500
    """Linear warm-up; cosine decay to zero follows."""
    grad_clip: float = 1.0
    """Largest gradient norm."""
    ema_decay: float = 0.999
    """Ceiling of the moving average of the weights, the one that is evaluated; it warms up from zero."""
    seed: int = seeds.TRAININGS.start
    """Fixes the split, the initial weights, the batches and the noise."""
    num_members: int = 1
    """Train an ensemble: this run and others below it, with seed + 1 ... on bootstraps of its episodes."""

    out: Path | str | None = None
    """Run directory; by default runs/<time>-<family>-<backbone>."""
    overwrite: bool = False
    """Replace the run in the directory given by --out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes the GPU if there is one."""
    threads: int | None = None
    """CPU threads; by default one per two cores, at most 4: small networks lose time at barriers."""
    amp: Literal["auto", "on", "off"] = "auto"
    """bfloat16 autocast; auto: on CPUs that multiply bfloat16 (2 to 3 times faster there), not on GPUs."""
    compile: bool = False
    """torch.compile the loss; pays off on long runs."""
    capture: bool = field(default=False, kw_only=True)
    """On a GPU, record a step as a CUDA graph and repeat it; where that cannot be, a line says why."""

    log_every: int = 100
    """Steps between records in metrics.jsonl."""
    checkpoint_every: int = 5_000
    """Steps between checkpoints; the newest and the best are kept."""
    keep_every: int | None = None
    """Keep every checkpoint whose step is a multiple of this."""
    rollout_every: int = 0
    """Steps between rollouts of the current policy, saved first, logged with success and a video; 0 for none."""
    rollout_episodes: int = 20
    """Episodes of such a rollout."""
    wandb: bool = True
    """Log to Weights & Biases: online when logged in, otherwise offline."""
    project: str = "robolearn"
    """Weights & Biases project."""
    wandb_id: str | None = None
    """Run in Weights & Biases to log to, also after a resume; by default a new one."""
    swag: SwagConfig = field(default_factory=SwagConfig)

    @property
    def num_trained(self) -> int:
        """Members that are trained; the others are drawn."""
        return 1 if self.swag.share else self.num_members

    def anchored(self) -> TrainConfig:
        """The same with absolute paths, so that it means the same in any working directory."""
        return absolute_paths(self)

    def check_resumes(self, before: TrainConfig) -> None:
        """Refuse options that would make another run of one that goes on.

        Args:
            before: Options that the run was begun with.

        Raises:
            UserError: One of those changed that decide what is learned from which episodes.
        """
        after, before = self.anchored(), before.anchored()  # runs name files absolutely
        if (after.family, after.backbone, after.vision) != (before.family, before.backbone, before.vision):
            raise UserError("family, backbone and vision cannot change when resuming; start a new run")
        names = [f.name for f in dataclasses.fields(DatasetConfig) if f.name not in PLACES]
        pairs = {f"dataset.{name}": (getattr(after.dataset, name), getattr(before.dataset, name)) for name in names}
        pairs |= {name: (getattr(after, name), getattr(before, name)) for name in (*POLICY_OPTIONS, "seed")}
        swag = [f.name for f in dataclasses.fields(SwagConfig)]
        pairs |= {f"swag.{name}": (getattr(after.swag, name), getattr(before.swag, name)) for name in swag}
        for name, (now, then) in pairs.items():
            if now != then:
                raise UserError(f"`{name}` {now} cannot change when resuming, it was {then}; start a new run")

    def __post_init__(self) -> None:
        take_paths(self, "out")
        horizons = ("obs_horizon", "action_horizon", "exec_horizon")
        check_counts(self, (*horizons, "steps", "num_members", "batch_size", "log_every", "checkpoint_every"))
        if self.exec_horizon > self.action_horizon:
            raise UserError(
                f"`exec_horizon` {self.exec_horizon} must be at most `action_horizon` {self.action_horizon}"
            )
        if not 0 <= self.prefix_horizon < self.action_horizon:
            raise UserError(
                f"`prefix_horizon` {self.prefix_horizon} must be at least 0 "
                f"and below `action_horizon` {self.action_horizon}"
            )
        if self.obs_noise < 0:
            raise UserError(f"`obs_noise` {self.obs_noise} must not be negative")
        if not 0 <= self.dataset.validation_fraction < 1:
            raise UserError(f"`dataset.validation_fraction` {self.dataset.validation_fraction} must be in [0, 1)")
        if self.grad_clip <= 0 or self.lr <= 0 or self.weight_decay < 0 or not 0 <= self.ema_decay < 1:
            raise UserError(
                f"`grad_clip` {self.grad_clip} and `lr` {self.lr} must be above 0, `weight_decay` {self.weight_decay} "
                f"at least 0, `ema_decay` {self.ema_decay} in [0, 1)"
            )
        for field_ in fields(self):
            value = getattr(self, field_.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"`{field_.name}` {value} must be finite")
            if isinstance(value, int) and not 0 <= value < LARGEST:
                raise UserError(f"`{field_.name}` {value} must be in 0..{LARGEST - 1}")


POLICY_OPTIONS = tuple(f.name for f in fields(PolicyConfig) if f.name in {f.name for f in fields(TrainConfig)})
"""Options that decide what network is trained on what of a window, by the names they have in both configurations."""


def absolute_paths(value: Any) -> Any:
    """A value whose paths, at any depth of its fields and tuples, are absolute."""
    if isinstance(value, Path):
        return value.absolute()
    if isinstance(value, tuple):
        return tuple(map(absolute_paths, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{f.name: absolute_paths(getattr(value, f.name)) for f in fields(value)})
    return value
