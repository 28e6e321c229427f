"""Training of an ensemble's members, each by itself: other weights at the start, other batches, other episodes.

Episodes are drawn with replacement, not frames: the frames of an episode show the same numbers, so that a bootstrap of
frames would leave no episode out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from robolearn.data.augment import MAX_CHANNELS, recolor, turn_hue
from robolearn.data.normalizer import Normalizer
from robolearn.errors import UserError
from robolearn.nets.descent import FitConfig, descend
from robolearn.nets.vision import VisionConfig
from robolearn.perception.ensemble import PerceptionConfig, PerceptionEnsemble


def fit_ensemble(
    cfg: PerceptionConfig,
    images: Shaped[np.ndarray, "e f h w c"],
    values: Float[np.ndarray, "e d"],
    fit: FitConfig,
    *,
    seed: int,
    on_member: Callable[[int, float], None] = lambda member, loss: None,
) -> PerceptionEnsemble:
    """Train all members on the CPU.

    Args:
        cfg: What to build.
        images: f frames of each of e episodes, uint8.
        values: What is to be read from any image of an episode, in physical units.
        fit: How to train.
        seed: The same seed gives the same ensemble.
        on_member: Called after each member with its number and its last loss, in normalized units.

    Returns:
        The ensemble, in evaluation mode.

    Raises:
        UserError: Without episodes, where images, values and configuration do not fit together, or images are no
            bytes.
    """
    _check_examples(cfg, images.shape, values.shape)
    if images.dtype != np.uint8:
        raise UserError(f"ensemble: images are {images.dtype}; give uint8, 0 .. 255")
    values = np.ascontiguousarray(values)
    normalizer = Normalizer.fit({"value": values})
    targets = normalizer.normalize("value", torch.as_tensor(values, dtype=torch.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # what the members start from
        ensemble = PerceptionEnsemble(cfg, normalizer)
    streams = np.random.SeedSequence(seed).spawn(cfg.num_members)
    for i, (member, stream) in enumerate(zip(ensemble.members, streams, strict=True)):
        rng = np.random.default_rng(stream)
        on_member(i, fit_member(member, images, targets, cfg.vision, fit, rng))
    return ensemble.eval()


def _check_examples(cfg: PerceptionConfig, images: tuple[int, ...], values: tuple[int, ...]) -> None:
    """Raise a UserError unless images and values of these shapes are examples for an ensemble."""
    if (images[2:], values) != (cfg.image_shape, (images[0], cfg.num_values)) or 0 in images[:2]:
        raise UserError(
            f"ensemble: images {images} and values {values} do not fit "
            f"image_shape {cfg.image_shape} and num_values {cfg.num_values}"
        )


def fit_member(
    member: nn.Module,
    images: UInt8[np.ndarray, "e f h w c"],
    targets: Float[Tensor, "e d"],
    vision: VisionConfig,
    fit: FitConfig,
    rng: np.random.Generator,
) -> float:
    """Train one member on a bootstrap of the episodes; returns the mean squared error of the last batch."""
    num_episodes, num_frames = images.shape[:2]
    drawn = rng.integers(num_episodes, size=num_episodes)

    def draw_loss() -> Tensor:
        episodes = drawn[rng.integers(num_episodes, size=fit.batch_size)]
        batch = torch.from_numpy(images[episodes, rng.integers(num_frames, size=fit.batch_size)])
        size = (fit.batch_size, 2 + MAX_CHANNELS)
        amount = torch.from_numpy(rng.uniform(-vision.jitter, vision.jitter, size)).float()
        changed = recolor(batch[:, None], amount)
        if vision.hue:
            turned = rng.uniform(-vision.hue, vision.hue, fit.batch_size)
            changed = turn_hue(changed, torch.from_numpy(2 * np.pi * turned).float())
        predicted = member(changed[:, 0])
        return nn.functional.mse_loss(predicted, targets[torch.from_numpy(episodes)])

    return descend(member.parameters(), draw_loss, fit)
