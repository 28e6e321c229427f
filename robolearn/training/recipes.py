"""Settings that published results were made with, by name: `train.py --recipe pusht` starts from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from robolearn.config import find
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.vision import VisionConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.config import DatasetConfig, TrainConfig

RECIPES: Mapping[str, TrainConfig] = {
    "avoid": TrainConfig(steps=6_000),
    "push": TrainConfig(dataset=DatasetConfig((Path("datasets/push.zarr"),)), exec_horizon=4, steps=9_200),
    "insert": TrainConfig(dataset=DatasetConfig((Path("datasets/insert.zarr"),)), exec_horizon=2, steps=4_600),
    "avoid-pixels": TrainConfig(
        dataset=DatasetConfig((Path("datasets/avoid_pixels.zarr"),), obs_keys=("image", "state")),
        obs_horizon=1,
        exec_horizon=1,
        steps=12_000,
        batch_size=64,
        vision=VisionConfig(shift=0),  # where the rows stand is what the image is for
    ),
    "pusht": TrainConfig(  # human demonstrations of Push-T, in the layout of Diffusion Policy
        backbone=MLPConfig(width=512, depth=4),
        dataset=DatasetConfig((Path("datasets/pusht_cchi_v7_replay.zarr"),), obs_keys=("state",), angles=("state:4",)),
        env=EnvConfig("gym_pusht:gym_pusht/PushT-v0"),
        exec_horizon=4,
        steps=17_700,
        lr=5e-4,
        weight_decay=1e-4,
        ema_decay=0.9995,
    ),
    "door": TrainConfig(  # 25 human demonstrations of AdroitHandDoor, imported from hand_dapg
        dataset=DatasetConfig((Path("datasets/adroit_door.zarr"),), validation_fraction=0.0),
        env=EnvConfig(max_episode_steps=300),
        steps=10_000,  # with 30,000 tokens knows the 25 by heart, and leaves what it knows at once
        lr=5e-4,
        weight_decay=1e-4,
    ),
    "avoid-verifiable": TrainConfig(  # proved in closed loop: few codes, long chunks, no products in the network
        family=TokensConfig(num_bins=64, width=16, min_code_probability=0.15, bound_weight=0.3, bound_error=0.01),
        backbone=MLPConfig(width=128, depth=2, dropout=0.0, plain=True),
        dataset=DatasetConfig(obs_keys=("pos",), obs=("pos=state[:2]",), short_episodes="pad"),
        obs_horizon=1,
        action_horizon=32,
        exec_horizon=32,
        chunk_frame="absolute",
        steps=15_000,
        amp="off",
    ),
}


def find_recipe(name: str) -> TrainConfig:
    """Settings by name.

    Raises:
        UserError: There is no such recipe.
    """
    return find("recipe", name, RECIPES)
