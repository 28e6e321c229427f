"""Puts together what a training needs: data, policy and the state it starts from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from robolearn.config import from_json
from robolearn.data.demos import Demos
from robolearn.data.normalizer import Mode, Normalizer
from robolearn.data.splits import bootstrap, split_episodes, usable_episodes
from robolearn.data.store import default_obs_keys
from robolearn.data.symmetry import Symmetry
from robolearn.data.windows import Windows
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import BackboneConfig, FamilyConfig
from robolearn.rollout.environments import EnvConfig, declared_symmetry
from robolearn.training.config import TrainConfig
from robolearn.training.run import DataFacts
from robolearn.training.state import TrainState
from robolearn.training.teacher import take_teacher

DEFAULT_CONTROL_DT = 0.1  # [s], the 10 Hz of the human Push-T set, which does not say


def assemble(
    cfg: TrainConfig, family: FamilyConfig, backbone: BackboneConfig, device: Any, *, resumes: bool = False
) -> tuple[TrainConfig, TrainState, Windows, Windows | None, DataFacts]:
    """Load the data and build a training at its first step.

    Args:
        cfg: Options.
        family: To be trained.
        backbone: Its network.
        device: Where.
        resumes: A checkpoint will be restored, so that a teacher need not be at hand any more.

    Returns:
        The configuration as `load_data` completes it, the state, training and held-out windows, and facts.
    """
    cfg, windows, validation, facts = load_data(cfg, device)
    torch.manual_seed(cfg.seed)
    policy = make_policy(cfg, family, backbone, windows)
    if not resumes and isinstance(family, MixtureConfig) and family.teacher_run is not None:
        take_teacher(policy, family.teacher_run)
    return cfg, TrainState(policy, cfg), windows, validation, facts


def load_data(cfg: TrainConfig, device: Any) -> tuple[TrainConfig, Windows, Windows | None, DataFacts]:
    """Open the demonstrations and split them.

    Returns:
        The configuration with the stores' environment and keys filled in, training and held-out windows,
        and facts.
    """
    demos = Demos.open(cfg.dataset.path)
    keys = cfg.dataset.obs_keys or default_obs_keys(demos.stores[0])
    env = cfg.env.over(EnvConfig(demos.attrs.env_id, demos.attrs.env_kwargs))
    cfg = dataclasses.replace(cfg, env=env, dataset=dataclasses.replace(cfg.dataset, obs_keys=tuple(keys)))
    parts = choose_episodes(demos, cfg)
    train = Windows.from_store(
        demos,
        keys,
        cfg.obs_horizon,
        cfg.action_horizon,
        parts["train"],
        device,
        cfg.dataset.cache_dir,
        padding=cfg.dataset.padding,
    )
    validation = train.of(parts["validation"]) if "validation" in parts else None
    facts = DataFacts(
        path=demos.name,
        content_hash=demos.content_hash([*keys, "action"]),
        control_dt=demos.attrs.control_dt or DEFAULT_CONTROL_DT,
        num_episodes=len(parts["train"]),
        num_steps=len(train),
        validation_episodes=tuple(int(i) for i in parts.get("validation", ())),
    )
    return cfg, train, validation, facts


def choose_episodes(demos: Demos, cfg: TrainConfig) -> dict[str, np.ndarray]:
    """Episodes to train on and, where the share makes at least one, to validate on."""
    usable = find_usable(demos, cfg)
    wanted, held_out = cfg.dataset.num_episodes, cfg.dataset.validation_fraction
    wanted = len(usable) if wanted is None else wanted
    if not 1 <= wanted <= len(usable):
        raise ValueError(f"--dataset.num-episodes {wanted}: {demos.name} has {len(usable)} episodes")
    has_validation = held_out * wanted >= 1
    fractions = {"train": (1 - held_out * has_validation) * wanted / len(usable)}
    if has_validation:
        fractions["validation"] = held_out * wanted / len(usable)
    seed = cfg.seed if cfg.dataset.split_seed is None else cfg.dataset.split_seed
    parts = {name: usable[part] for name, part in split_episodes(len(usable), fractions, seed).items()}
    if cfg.dataset.bootstrap:
        parts["train"] = bootstrap(parts["train"], cfg.seed)
    return parts


def find_usable(demos: Demos, cfg: TrainConfig) -> np.ndarray:
    """Episodes of all stores that are long enough, or padded.

    Raises:
        ValueError: There are too short ones and they are refused, or all of one store would be dropped.
    """
    window, usable, before = cfg.obs_horizon - 1 + cfg.action_horizon, [], 0
    for store in demos.stores:
        lengths = np.diff(store.episode_ends, prepend=0)
        try:
            usable.append(before + usable_episodes(lengths, window, cfg.dataset.short_episodes))
        except ValueError as error:
            raise ValueError(f"{store.path}: {error}") from None
        before += store.num_episodes
    return np.concatenate(usable)


def make_policy(cfg: TrainConfig, family: FamilyConfig, backbone: BackboneConfig, windows: Windows) -> Policy:
    """Build a policy for the shapes of the data, normalised on the training episodes."""
    arrays = windows.arrays()
    modes: dict[str, Mode] = {key: "minmax" if key == "action" else cfg.dataset.normalization for key in arrays}
    policy_cfg = PolicyConfig(
        family,
        backbone,
        windows.obs_shapes,
        arrays["action"].shape[1],
        cfg.obs_horizon,
        cfg.action_horizon,
        parse_angles(cfg.dataset.angles),
        cfg.vision,
        cfg.prefix_horizon,
        None if cfg.symmetry == "ignore" else find_symmetry(cfg.env, tuple(windows.obs_shapes)),
        cfg.symmetry,
    )
    return Policy(policy_cfg, Normalizer.fit(arrays, modes)).to(windows.device)


def find_symmetry(env: EnvConfig, obs_keys: tuple[str, ...]) -> Symmetry:
    """The symmetry that the environment declares of these observations and its actions.

    Raises:
        ValueError: It declares none, or none of these observations.
    """
    declared = declared_symmetry(env)
    if declared is None:
        raise ValueError(f"environment {env.id} declares no symmetry; choose --symmetry ignore")
    symmetry = from_json(Symmetry, declared, {}, f"symmetry of {env.id}")
    if not any(key in symmetry.maps for key in obs_keys):
        named = [key for key in symmetry.maps if key != "action"]
        raise ValueError(f"the symmetry of {env.id} is one of {named}, the policy sees {list(obs_keys)}")
    return symmetry


def parse_angles(angles: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Turn ("state:4", "state:5") into {"state": (4, 5)}.

    Raises:
        ValueError: An entry is not KEY:DIMENSION.
    """
    parsed: dict[str, tuple[int, ...]] = {}
    for entry in angles:
        key, _, dim = entry.rpartition(":")
        if not key or not dim.isdigit():
            raise ValueError(f"--dataset.angles {entry}: expected KEY:DIMENSION, such as state:4")
        parsed[key] = (*parsed.get(key, ()), int(dim))
    return parsed
