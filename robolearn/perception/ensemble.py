"""Several networks that read the same numbers from an image, trained apart; where they disagree, none is to be trusted.

Source: Lakshminarayanan et al. 2017, arXiv:1612.01474; for poses Shi et al. 2021, arXiv:2011.07748.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.data.normalizer import Normalizer
from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.nets.sizes import check_sizes
from robolearn.nets.vision import VisionConfig
from robolearn.nets.weights import build_with_weights, save_weights
from robolearn.types import is_image

CONFIG_FILE, WEIGHTS_FILE = "ensemble.json", "ensemble.safetensors"


@dataclass(frozen=True)
class PerceptionConfig:
    """Everything needed to build an ensemble, weights aside."""

    image_shape: tuple[int, ...]
    """Height, width and channels of an image."""
    num_values: int
    """Numbers read from it."""
    num_members: int = 4
    """Networks."""
    hidden: int = 128
    """Channels between a network's features and its numbers."""
    vision: VisionConfig = field(default_factory=lambda: VisionConfig(shift=0))
    """The members' networks, and how the colors of their training images vary."""

    def __post_init__(self) -> None:
        if not is_image(self.image_shape):
            raise UserError(f"ensemble: image_shape {self.image_shape} is no image [h, w, 1, 3 or 4]")
        check_sizes("ensemble", num_values=self.num_values, hidden=self.hidden, num_members=self.num_members)
        if self.num_members < 2:
            raise UserError(f"ensemble: num_members {self.num_members} must be at least 2; one cannot disagree")
        if self.vision.init is not None:
            raise UserError(f"ensemble: vision.init {self.vision.init} must be left out; members begin at random")
        if self.vision.shift:
            raise UserError(f"ensemble: vision.shift {self.vision.shift} must be 0; a shifted image shows other places")
        self.vision.view.seen(self.image_shape)


class PerceptionEnsemble(nn.Module):
    """Images -> each member's numbers, in physical units.

    Args:
        cfg: Shapes and networks.
        normalizer: Of the numbers, key "value"; fitted on the training episodes.
    """

    def __init__(self, cfg: PerceptionConfig, normalizer: Normalizer):
        super().__init__()
        self.cfg, self.normalizer = cfg, normalizer
        self.members = nn.ModuleList(regressor(cfg) for _ in range(cfg.num_members))

    def forward(self, images: Shaped[Tensor, "b h w c"]) -> Float[Tensor, "k b d"]:
        """Predict with every member.

        Raises:
            UserError: They are no bytes, or of another shape than those that were learned from.
        """
        if images.shape[1:] != self.cfg.image_shape or images.dtype != torch.uint8:
            said = f"{images.dtype} {tuple(images.shape)}".removeprefix("torch.")
            raise UserError(f"ensemble: images {said} must be uint8 [n, {', '.join(map(str, self.cfg.image_shape))}]")
        return self.normalizer.unnormalize("value", torch.stack([member(images) for member in self.members]))

    def save(self, directory: StrPath) -> None:
        """Write ``ensemble.json`` and ``ensemble.safetensors`` into a directory; never pickle."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / CONFIG_FILE, to_json(self.cfg, {}))
        save_weights(self, directory / WEIGHTS_FILE)

    @classmethod
    def load(cls, directory: StrPath, *, device: torch.device | str = "cpu") -> PerceptionEnsemble:
        """Read a saved ensemble; safe on files from strangers.

        Raises:
            UserError: A file is missing, damaged or does not fit.
        """
        directory = Path(directory)
        cfg = from_json(PerceptionConfig, read_json(directory / CONFIG_FILE), {}, str(directory / CONFIG_FILE))
        shapes = {"value": (cfg.num_values,)}
        needs = {"normalizer.value_centre": shapes["value"]}
        ensemble = build_with_weights(lambda: cls(cfg, Normalizer(shapes)), directory / WEIGHTS_FILE, needs=needs)
        return ensemble.to(device).eval()


def regressor(cfg: PerceptionConfig) -> nn.Sequential:
    """One member: images [b, h, w, c], 0 .. 255, to normalized numbers [b, d]."""
    return nn.Sequential(
        cfg.vision.build(cfg.image_shape[-1]),
        nn.SiLU(),
        nn.Linear(cfg.vision.features, cfg.hidden),
        nn.SiLU(),
        nn.Linear(cfg.hidden, cfg.num_values),
    )
