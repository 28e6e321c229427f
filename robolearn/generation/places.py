"""Where hand and objects of a scene are, as arrays that can be reckoned with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from robolearn.contract import Scene
from robolearn.errors import UserError, one_line
from robolearn.generation.config import SceneConfig
from robolearn.keymap import KeyMap
from robolearn.types import Array


def places(scene: Scene, obs: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Position [..., d] of the hand, and the pose [..., d + 1] of each object: position, and angle [rad], 0 if none.

    Raises:
        UserError: The scene is not one of these observations.
    """
    hand = _numbers("hand", lambda: scene.hand(obs))
    if hand.ndim == 0 or hand.shape[-1] not in (2, 3):
        raise UserError(f"scene: the hand's position must have 2 or 3 coordinates, it is of shape {hand.shape}")
    told = _call("objects", lambda: scene.objects(obs))
    if not isinstance(told, Mapping) or not told:
        raise UserError("scene: it tells of no objects")
    dim, poses = hand.shape[-1], {}
    for name, value in told.items():
        pose = _numbers(name, lambda value=value: value)
        if pose.ndim != hand.ndim or pose.shape[-1] not in (dim, dim + 1):
            raise UserError(f"scene: {name} must have {dim} coordinates, and an angle at most; it is of {pose.shape}")
        poses[name] = pose if pose.shape[-1] == dim + 1 else np.concatenate([pose, np.zeros_like(pose[..., :1])], -1)
    return hand, poses


def scene_of(cfg: SceneConfig) -> Scene:
    """A scene of which everything stands in the observations, in the words of `robolearn.keymap`.

        scene_of(SceneConfig("state[:2]", ("block=state[2:5]",), turns=True))

    Raises:
        UserError: They are no such words.
    """
    hand = KeyMap.parse([f"hand={cfg.hand}"], "scene.hand")
    objects = KeyMap.parse(cfg.objects, "scene.objects")

    def read(keymap: KeyMap, obs: Mapping[str, Array]) -> dict[str, Array]:
        leading = np.ndim(obs[keymap.sources[0]]) - 1 if keymap.sources[0] in obs else 0
        return keymap.apply(obs, leading)

    return Scene(
        lambda obs: read(hand, obs)["hand"],
        lambda obs: read(objects, obs),
        carries=cfg.carries,
        turns=cfg.turns,
        near=cfg.near,
        gain=cfg.gain,
    )


def _numbers(what: str, function: Callable[[], Any]) -> Array:
    value = np.asarray(_call(what, function), dtype=float)
    if not np.isfinite(value).all():
        raise UserError(f"scene: where {what} is, is not finite")
    return value


def _call(what: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except UserError:
        raise
    except Exception as error:  # whatever a stranger's function raises
        raise UserError(f"scene: {what}: {type(error).__name__}: {one_line(error)}") from error
