"""Puts together what a training needs: data, policy and the state it starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from robolearn.config import from_json
from robolearn.data.demos import Demos
from robolearn.data.keys import observed_problem
from robolearn.data.normalizer import Mode, Normalizer
from robolearn.data.store import default_obs_keys
from robolearn.data.symmetry import Symmetry
from robolearn.data.timing import Timing
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.images import ImageLayout
from robolearn.keymap import KeyMap
from robolearn.nets.pretrained import Start, begin, freeze, read_start
from robolearn.nets.unallocated import unallocated
from robolearn.paths import url_of
from robolearn.policies.chunk_frame import NUM_EXAMPLES, RelativeFrame
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.making import facts_of
from robolearn.training.config import POLICY_OPTIONS, TrainConfig
from robolearn.training.episodes import Kept, choose_episodes, earlier_data, keep_episodes, needed_episodes
from robolearn.training.examples import random_batches
from robolearn.training.run import DataFacts, Run
from robolearn.training.state import TrainState, collecting
from robolearn.training.teacher import take_teacher
from robolearn.types import is_image

DEFAULT_CONTROL_DT = 0.1  # [s], the 10 Hz of the human Push-T set, which does not say


def assemble(
    cfg: TrainConfig,
    demos: Demos,
    device: Any,
    *,
    resumes: bool = False,
    kept: Kept | None = None,
    images: Mapping[str, ImageLayout] | None = None,
) -> tuple[TrainConfig, TrainState, Windows, Windows | None, DataFacts]:
    """Load the data and build a training at its first step.

    Args:
        cfg: What is trained, and on what.
        demos: That, from `open_demos`.
        device: Where.
        resumes: A checkpoint will be restored, so that a teacher and what cameras began with need not be at hand any
            more.
        kept: What the run was begun with, if it goes on.
        images: Camera -> how its images are recorded, as the checkpoint says.

    Returns:
        The configuration as `load_data` completes it, the state, training and held-out windows, and facts.
    """
    check_policy(cfg, demos, resumes=resumes)
    start = Start({}, dict(images or {})) if resumes else find_start(cfg, demos)
    cfg, windows, validation, facts = load_data(cfg, demos, device, kept, start.images)
    torch.manual_seed(cfg.seed)
    policy = make_policy(cfg, windows)
    begin(policy.encoder.by_camera(), start)
    if not resumes and isinstance(cfg.family, MixtureConfig) and cfg.family.teacher_run is not None:
        take_teacher(policy, cfg.family.teacher_run)
    return cfg, TrainState(policy, cfg), windows, validation, facts


def find_start(cfg: TrainConfig, demos: Demos) -> Start:
    """What the networks of the cameras begin with.

    Raises:
        UserError: It does not fit the cameras that are observed, or a teacher's networks are to be taken too.
    """
    if cfg.vision.init is not None and isinstance(cfg.family, MixtureConfig) and cfg.family.teacher_run is not None:
        raise UserError("`vision.init`: with `family.teacher_run` the networks are the teacher's; give one of them")
    shapes, _ = policy_shapes(cfg, demos)
    return read_start(cfg.vision, {key: shape for key, shape in shapes.items() if is_image(shape)})


def load_data(
    cfg: TrainConfig,
    demos: Demos,
    device: Any,
    kept: Kept | None = None,
    images: Mapping[str, ImageLayout] | None = None,
) -> tuple[TrainConfig, Windows, Windows | None, DataFacts]:
    """Split the demonstrations, or take the split that a run was begun with; others than those in it are not read.

    How images are recorded is measured where it is not given.

    Returns:
        The configuration with the stores' environment and keys filled in, training and held-out windows, and facts.
    """
    keys, env = observed_keys(cfg, demos), mapped_env(cfg, demos)
    cfg = dataclasses.replace(cfg, env=env, dataset=dataclasses.replace(cfg.dataset, obs_keys=keys))
    if kept is None:
        parts = choose_episodes(demos, cfg)
        content_hash = demos.part(needed_episodes(demos, cfg, parts)).content_hash([*keys, "action"])
    else:
        parts, content_hash = keep_episodes(demos, cfg, [*keys, "action"], kept)
    train = read_windows(cfg, demos.part(needed_episodes(demos, cfg, parts)), keys, parts["train"], device, images)
    validation = train.for_episodes(parts["validation"]) if "validation" in parts else None
    actions = train.arrays()["action"].double()
    facts = DataFacts(
        path=" + ".join(url_of(store.path.absolute()) for store in demos.stores),
        content_hash=content_hash,
        control_dt=demos.attrs.control_dt or DEFAULT_CONTROL_DT,
        num_episodes=len(parts["train"]),
        num_steps=len(train),
        validation_episodes=tuple(int(i) for i in parts.get("validation", ())),
        training_episodes=tuple(int(i) for i in parts["train"]),
        store_episodes=tuple(store.num_episodes for store in demos.stores),
        earlier=earlier_data(kept, content_hash),
        action_low=tuple(actions.amin(0).tolist()),
        action_high=tuple(actions.amax(0).tolist()),
    )
    return cfg, train, validation, facts


def read_windows(
    cfg: TrainConfig,
    demos: Demos,
    keys: tuple[str, ...],
    episodes: np.ndarray | None,
    device: Any,
    cameras: Mapping[str, ImageLayout] | None = None,
) -> Windows:
    """Windows of these episodes, all when None, as a policy of this configuration is trained on; see `from_store`."""
    return Windows.from_store(
        demos,
        keys,
        cfg.obs_horizon,
        cfg.action_horizon,
        episodes,
        device,
        cfg.dataset.cache_dir,
        int(cfg.dataset.memory_gib * 2**30),
        padding=cfg.dataset.padding,
        timing=Timing(cfg.dataset.trim_idle, cfg.dataset.action_lag),
        cameras=cameras,
    )


def open_demos(cfg: TrainConfig) -> Demos:
    """The stores, with the keys that are made of theirs."""
    return Demos.open(cfg.dataset.path, cfg.dataset.keymap)


def mapped_env(cfg: TrainConfig, demos: Demos) -> EnvConfig:
    """The environment asked for, or the stores', with the keys that the policy observes."""
    env = cfg.env.with_defaults(EnvConfig(demos.attrs.env_id, demos.attrs.env_kwargs))
    return env.mapped_as(cfg.dataset.keymap.only(observed_keys(cfg, demos)).texts())


def observed_keys(cfg: TrainConfig, demos: Demos) -> tuple[str, ...]:
    """The keys that the policy observes: those asked for, those that are made, or those that the stores declare.

    Raises:
        UserError: There are none, or one cannot be observed.
    """
    keys = cfg.dataset.obs_keys or default_obs_keys(demos.stores[0])
    for problem in filter(None, map(observed_problem, keys)):
        raise UserError(f"`dataset.obs_keys`: {problem}")
    return tuple(keys)


def policy_shapes(cfg: TrainConfig, demos: Demos) -> tuple[dict[str, tuple[int, ...]], int]:
    """Shapes of the policy's observations, and numbers in its actions."""
    return {key: demos.shape(key) for key in observed_keys(cfg, demos)}, demos.shape("action")[0]


def check_policy(cfg: TrainConfig, demos: Demos, *, resumes: bool) -> None:
    """Build the policy without memory, so that what it refuses is said before the data are read.

    Raises:
        UserError: Family, backbone, angles, symmetry and shapes do not go together, there is no teacher to take, or
            moments of the weights cannot be collected while it is trained.
    """
    obs_shapes, action_dim = policy_shapes(cfg, demos)
    policy_cfg = make_policy_config(dataclasses.replace(cfg, env=mapped_env(cfg, demos)), obs_shapes, action_dim, {})
    with unallocated():
        policy = Policy(policy_cfg, Normalizer({**obs_shapes, "action": (action_dim,)}))
    if cfg.swag.share:
        collecting(cfg, policy.family.players())
    if not resumes and isinstance(cfg.family, MixtureConfig) and cfg.family.teacher_run is not None:
        Run.open(cfg.family.teacher_run).checkpoint("last")


def make_policy(cfg: TrainConfig, windows: Windows) -> Policy:
    """Build a policy for the shapes of the data, normalized on the training episodes."""
    arrays = windows.arrays()
    modes: dict[str, Mode] = {key: "minmax" if key == "action" else cfg.dataset.normalization for key in arrays}
    policy_cfg = make_policy_config(cfg, windows.obs_shapes, arrays["action"].shape[1], windows.cameras)
    policy = Policy(policy_cfg, Normalizer.fit(arrays, modes)).to(windows.device)
    freeze(policy.encoder.by_camera(), cfg.vision)
    if isinstance(policy.frame, RelativeFrame):
        fit_frame(policy, policy.frame, windows, torch.Generator(windows.device).manual_seed(cfg.seed))
    return policy


@torch.no_grad()
def fit_frame(policy: Policy, frame: RelativeFrame, windows: Windows, generator: torch.Generator) -> None:
    """Find the frame of a policy's chunks from random windows, turned as in training."""
    parts = [
        (policy.state(batch.obs), policy.normalizer.normalize("action", batch.actions), batch.mask)
        for batch in random_batches(policy, windows, NUM_EXAMPLES, generator)
    ]
    frame.fit(*(torch.cat(part) for part in zip(*parts, strict=True)))


def make_policy_config(
    cfg: TrainConfig, obs_shapes: dict[str, tuple[int, ...]], action_dim: int, cameras: dict[str, ImageLayout]
) -> PolicyConfig:
    """What a policy is built of."""
    same: dict[str, Any] = {name: getattr(cfg, name) for name in POLICY_OPTIONS}
    same["vision"] = cfg.vision.built()
    same["symmetry"] = None if cfg.symmetry == "ignore" else find_symmetry(cfg.env, tuple(obs_shapes))
    return PolicyConfig(
        **same,
        obs_shapes=obs_shapes,
        action_dim=action_dim,
        symmetry_use=cfg.symmetry,
        angles=parse_dims("angles", cfg.dataset.angles),
        quaternions=parse_dims("quaternions", cfg.dataset.quaternions),
        images=cameras,
    )


def find_symmetry(env: EnvConfig, obs_keys: tuple[str, ...]) -> Symmetry:
    """The symmetry that the environment declares of these observations and its actions.

    Raises:
        UserError: It declares none, or none of these observations, or one is made of what it turns.
    """
    declared = facts_of(env).symmetry
    if declared is None:
        raise UserError(f"environment {env.id} declares no symmetry; choose `symmetry` ignore")
    symmetry = from_json(Symmetry, declared, {}, f"symmetry of {env.id}")
    if not any(key in symmetry.maps for key in obs_keys):
        named = [key for key in symmetry.maps if key != "action"]
        raise UserError(f"the symmetry of {env.id} is one of {named}, the policy sees {list(obs_keys)}")
    # A part or another order of these numbers does not turn by their map, nor does it stay as it is.
    for entry in KeyMap.parse(env.obs, "env.obs").only(obs_keys).entries:
        if turned := [source.key for source in entry.sources if source.key in symmetry.maps]:
            raise UserError(
                f"`symmetry`: {entry} is made of {turned[0]}, and the symmetry of {env.id} says how that turns as a "
                f"whole; observe {turned[0]} itself, or choose `symmetry` ignore"
            )
    return symmetry


def parse_dims(option: str, given: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Turn ("state:4", "state:5"), given by an option of the data set, into {"state": (4, 5)}.

    Raises:
        UserError: An entry is not KEY:DIMENSION, or given twice.
    """
    parsed: dict[str, tuple[int, ...]] = {}
    for entry in given:
        key, _, dim = entry.rpartition(":")
        if not key or not dim.isdigit():
            raise UserError(f"`dataset.{option}` {entry}: expected KEY:DIMENSION, such as state:4")
        if int(dim) in parsed.get(key, ()):
            raise UserError(f"`dataset.{option}` {entry}: given twice")
        parsed[key] = (*parsed.get(key, ()), int(dim))
    return parsed
