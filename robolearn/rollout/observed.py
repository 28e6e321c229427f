"""Observations of an environment as those of a policy: nested names, keys made of others, images of any layout.

space                                       names            with agent_pos=state[:2]
Dict(pixels=Dict(top=Box), state=Box(9))    pixels.top       pixels.top
                                            state            agent_pos, the first two numbers of state
Box(9)                                      observation      what env.obs makes of it, or the policy's only key,
                                                             under the one name that either gives it
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from robolearn.errors import UserError
from robolearn.images import ImageLayout
from robolearn.keymap import KeyMap
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.readings import ABSENT, REAL, FaultError, find_nested, kind_of, read_array
from robolearn.types import Array, is_image

UNNAMED = "observation"  # the name of an observation that is no dict


@runtime_checkable
class Box(Protocol):
    """What is used of gymnasium's."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an observation."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of its numbers."""
        ...


@dataclass(frozen=True)
class Form:
    """What a policy sees of one observation.

    Attributes:
        shape: As the policy has it.
        layout: Of an image; None for numbers.
    """

    shape: tuple[int, ...]
    layout: ImageLayout | None = None

    @property
    def dtype(self) -> np.dtype:
        """Of what the policy sees."""
        return np.dtype(np.float32 if self.layout is None else np.uint8)

    def convert(self, array: Array, leading: int) -> Array:
        """Bring an observation [*leading, ...] into this form.

        Raises:
            ValueError: A pixel is none.
        """
        if self.layout is not None:
            return self.layout.convert(array)
        with np.errstate(over="ignore"):  # what overflows is not finite, and found as that
            return array.astype(np.float32).reshape((*array.shape[:leading], *self.shape))


@dataclass(frozen=True)
class Observations:
    """How the observations of an environment become those of a policy.

    Attributes:
        leaves: Name -> its Box, of those that are used.
        keymap: Keys that are made of them.
        boxes: Of the policy's observations, by its names.
        forms: What the policy sees of each.
        named: Whether observations are a dict.
        asked: All keys that the user wants made, also those that no policy has asked for.
    """

    leaves: dict[str, Box]
    keymap: KeyMap
    boxes: dict[str, Box]
    forms: dict[str, Form]
    named: bool = True
    asked: KeyMap = field(default_factory=KeyMap)

    @classmethod
    def from_space(cls, cfg: EnvConfig, space: Any, keys: Sequence[str]) -> Observations:
        """Find the observations ``keys`` in a space.

        Raises:
            UserError: Observations are missing, cannot be made, or are no arrays of numbers.
        """
        from gymnasium import spaces  # late: a policy on a robot needs no simulator

        named = isinstance(space, spaces.Dict)
        keymap = KeyMap.parse(cfg.obs, "env.obs")
        obs_spaces = dict(leaves_of(cfg, space)) if named else {UNNAMED: space}
        wanted = KeyMap(
            tuple(e for e in keymap.entries if e.name in keys and not (named and e.optional and e.name in obs_spaces))
        )
        meant = {*(key for key in keys if key not in wanted.names), *wanted.sources}
        if not named and len(meant) == 1:  # whatever it is called, it can only be meant as this
            obs_spaces = {meant.pop(): space}
        _check_there(cfg, keys, obs_spaces, wanted, named)
        plain = {key: key for key in keys if key not in wanted.names}
        leaves = {
            name: obs_spaces[name] for name in dict.fromkeys([*plain, *(s for s in wanted.sources if s in obs_spaces)])
        }
        for name, box in leaves.items():
            if not isinstance(box, spaces.Box) or box.dtype.kind not in REAL:
                raise UserError(
                    f"environment {cfg.id}: observation {name!r} must be a Box of numbers, it is {kind_of(box)}"
                )
        made = _mapped_boxes(cfg, wanted, obs_spaces)
        boxes = {key: made[key] if key in made else leaves[key] for key in keys}
        forms = {key: _as_declared(box) for key, box in boxes.items()}
        return cls(leaves, wanted, boxes, forms, named, keymap)

    def fitted(self, shapes: Mapping[str, Any], images: Mapping[str, ImageLayout]) -> Observations:
        """The same in the shapes that a policy expects: flat, and images as bytes with their channels last.

        Args:
            shapes: Of the policy's observations.
            images: How those of the demonstrations were recorded, where that was otherwise.

        Raises:
            UserError: One cannot be brought into its shape, or it is not clear how.
        """
        for entry in self.asked.entries:
            if entry.name not in shapes and not entry.optional:
                raise UserError(
                    f"`env.obs` {entry} makes {entry.name}, which the policy does not see; it sees {', '.join(shapes)}"
                )
        forms = {key: _fitted(key, box, tuple(shapes[key]), images.get(key)) for key, box in self.boxes.items()}
        return replace(self, forms=forms)

    @property
    def remarks(self) -> list[str]:
        """What is done to images, a sentence each."""
        layouts = {key: form.layout for key, form in self.forms.items() if form.layout is not None}
        return [
            f"observation {key!r} comes with {layout}; the policy sees bytes with channels last"
            for key, layout in layouts.items()
            if not layout.is_plain or self.boxes[key].dtype != np.uint8
        ]

    @property
    def is_plain(self) -> bool:
        """Whether nothing is made of what comes but a type."""
        same = all(self.boxes[key].shape == form.shape for key, form in self.forms.items())
        return self.named and not self.keymap.entries and same and not self.remarks and "." not in "".join(self.leaves)

    def read(self, obs: Any) -> dict[str, Array]:
        """The policy's observations, from what an environment returned.

        Raises:
            FaultError: One is missing, or is not of the declared shape, or is no number.
        """
        if self.named and not isinstance(obs, Mapping):
            raise FaultError(f"the observation is {kind_of(obs)}, not a dict")
        raw = {name: _read_leaf(name, _find(obs, name) if self.named else obs, b) for name, b in self.leaves.items()}
        seen = self._see(raw, 0)
        for key, value in seen.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise FaultError(f"observation {key!r} is not finite")
        return seen

    def see(self, arrays: Mapping[str, Array], leading: int) -> dict[str, Array]:
        """The policy's observations, from a driver's of several environments [*leading, ...]."""
        if self.is_plain:
            return dict(arrays)
        return self._see({name: _find(arrays, name) for name in self.leaves}, leading)

    def zeros(self, num_envs: int) -> dict[str, Array]:
        """Room for the observations of several environments [n, ...]."""
        return {key: np.zeros((num_envs, *form.shape), form.dtype) for key, form in self.forms.items()}

    def _see(self, raw: Mapping[str, Array], leading: int) -> dict[str, Array]:
        try:
            made = self.keymap.apply(raw, leading)
        except UserError as error:  # a number that its new type cannot hold
            raise FaultError(str(error)) from None
        seen = {}
        for key, form in self.forms.items():
            value = made[key] if key in made else raw[key]
            if form.layout is not None and value.dtype.kind != self.boxes[key].dtype.kind:
                raise FaultError(f"observation {key!r} is {value.dtype}, declared is {self.boxes[key].dtype}")
            try:
                seen[key] = form.convert(value, leading)
            except ValueError as error:
                raise FaultError(f"observation {key!r}: {error}") from None
        return seen


def leaves_of(cfg: EnvConfig, space: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name and space of each observation, those of inner dicts with dots."""
    from gymnasium import spaces

    for name, inner in space.spaces.items():
        if isinstance(inner, spaces.Dict):
            for leaf in leaves_of(cfg, inner, f"{prefix}{name}."):
                if leaf[0] in space.spaces:
                    raise UserError(f"environment {cfg.id}: {leaf[0]!r} stands for two of its observations")
                yield leaf
        else:
            yield f"{prefix}{name}", inner


def _find(obs: Mapping[str, Any], name: str) -> Any:
    leaf = find_nested(obs, name)
    if leaf is ABSENT:
        raise FaultError(f"the observation lacks [{name!r}]")
    return leaf


def _check_there(
    cfg: EnvConfig, keys: Sequence[str], obs_spaces: Mapping[str, Any], wanted: KeyMap, named: bool
) -> None:
    """Refuse an environment that lacks an observation."""
    if not named and len(keys) > 1 and len(wanted.names) < len(keys):
        raise UserError(
            f"environment {cfg.id} has one unnamed observation; the policy needs {list(keys)}; `env.obs` makes them of "
            f"it, as in {keys[0]}={UNNAMED}[:2]"
        )
    missing = [key for key in keys if key not in obs_spaces and key not in wanted.names]
    if missing:
        raise UserError(
            f"environment {cfg.id} has no observation {missing}; it has {list(obs_spaces)}; `env.obs` makes keys of "
            f"others, as in {missing[0]}={next(iter(obs_spaces), UNNAMED)}"
        )


def _mapped_boxes(cfg: EnvConfig, keymap: KeyMap, obs_spaces: Mapping[str, Any]) -> dict[str, Any]:
    """The spaces of the keys that are made."""
    from gymnasium import spaces

    used = {name: box for name, box in obs_spaces.items() if isinstance(box, spaces.Box)}
    try:
        made = keymap.apply({name: np.zeros(box.shape, box.dtype) for name, box in used.items()}, 0)
    except UserError as error:
        raise UserError(f"environment {cfg.id}: {error}") from None
    low, high = (keymap.join({name: getattr(box, end) for name, box in used.items()}) for end in ("low", "high"))
    boxes = {}
    for key, value in made.items():
        dtype = np.dtype(np.uint8) if value.dtype.kind == "b" else value.dtype
        keeps = value.shape == low[key].shape and (dtype.kind == "f" or dtype == low[key].dtype)
        ends = (low[key], high[key]) if keeps else [np.full(value.shape, x) for x in _whole_range(value.dtype)]
        boxes[key] = spaces.Box(ends[0].astype(dtype), ends[1].astype(dtype), dtype=dtype.type)
    return boxes


def _whole_range(dtype: np.dtype) -> tuple[int, int]:
    return (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def _as_declared(box: Any) -> Form:
    """The form of an observation that no policy has asked for in another."""
    shape = box.shape
    return Form(shape, ImageLayout() if is_image(shape) and box.dtype == np.uint8 else None)


def _fitted(key: str, box: Any, shape: tuple[int, ...], recorded: ImageLayout | None) -> Form:
    """The form of an observation as a policy expects it."""
    if is_image(shape):
        if recorded is not None and box.dtype != np.uint8 and box.shape == recorded.shape(shape):
            return Form(shape, recorded)
        low, high = (float(end.flat[0]) if (end == end.flat[0]).all() else math.nan for end in (box.low, box.high))
        try:
            return Form(shape, ImageLayout.recognize(box.shape, box.dtype, low, high, shape))
        except ValueError as error:
            raise UserError(
                f"the environment's {key!r} {error}; `env.obs` {key}:image=... takes floats in 0 .. 1, "
                f"{key}:uint8=... those in 0 .. 255"
            ) from None
    if box.shape != shape and (len(shape) != 1 or math.prod(box.shape) != shape[0]):
        raise UserError(f"the environment's {key!r} has shape {box.shape}, the policy expects {shape}")
    return Form(shape)


def _read_leaf(name: str, value: Any, box: Box) -> Array:
    array = read_array(f"observation {name!r}", value)
    if array.shape != box.shape:
        raise FaultError(f"observation {name!r} has shape {array.shape}, declared is {box.shape}")
    return array
