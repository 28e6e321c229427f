"""The networks of all cameras together with what a method trains beside them, in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robolearn.config import read_together, to_json, write_json
from robolearn.files import StrPath
from robolearn.nets.pretrained import CAMERAS_FILE, CAMERAS_WEIGHTS, CameraNets, CamerasConfig
from robolearn.nets.unallocated import unallocated
from robolearn.nets.weights import build_with_weights, save_weights
from robolearn.representation.config import PretrainConfig
from robolearn.representation.method import Method
from robolearn.representation.registry import METHODS

RUN_FILE, METHOD_WEIGHTS = "pretrain.json", "method.safetensors"
FILES = (RUN_FILE, METHOD_WEIGHTS, CAMERAS_FILE, CAMERAS_WEIGHTS)


@dataclass(frozen=True)
class PretrainFacts:
    """What a run of pre-training is: what was asked for, what was learned from, and how far it is."""

    config: PretrainConfig
    content_hash: str
    """sha256 of the images of the episodes."""
    training_episodes: tuple[int, ...]
    """Numbered through all stores."""
    validation_episodes: tuple[int, ...]
    step: int | None = None
    """Optimizer steps that are done; None in older runs, which are complete."""

    @property
    def steps_done(self) -> int:
        """The same, of older runs too."""
        return self.config.steps if self.step is None else self.step


class Representation(nn.Module):
    """Networks of cameras, and for each what its method trains beside it.

    Args:
        cfg: Method and networks.
        cameras: The cameras.
    """

    def __init__(self, cfg: PretrainConfig, cameras: CamerasConfig):
        super().__init__()
        self.cameras = CameraNets(cameras)
        self.view, seen = cfg.vision.view, self.cameras.seen.values()
        self.methods = nn.ModuleList(cfg.method.build(cfg.vision, shape) for shape in seen)

    def loss(
        self, images: Mapping[str, Tensor], left_out: Bool[Tensor, "m m"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean of the cameras' losses; see Method.loss."""
        losses = [method.loss(net, images[camera], left_out, generator) for camera, net, method in self.by_camera()]
        return torch.stack(losses).mean()

    def by_camera(self) -> Iterator[tuple[str, nn.Module, Method]]:
        """Each camera, its network, and what is trained beside it."""
        for (camera, network), method in zip(self.cameras.by_name().items(), self.methods, strict=True):
            assert isinstance(method, Method)
            yield camera, network, method

    @torch.no_grad()
    def show(
        self, frames: Mapping[str, Tensor], gallery: Mapping[str, Tensor], generator: torch.Generator
    ) -> dict[str, dict[str, Tensor]]:
        """Camera -> name -> images: the frames, and what there is to be looked at of them; see Method.show."""
        shown = {}
        for camera, network, method in self.by_camera():
            some, others = self.view.apply(frames[camera]), self.view.apply(gallery[camera])
            shown[camera] = {"held out": some, **method.show(network, some, others, generator)}
        return shown

    def save(self, directory: Path, facts: PretrainFacts) -> None:
        """Write JSON and safetensors into a directory; never pickle."""
        write_json(directory / RUN_FILE, to_json(facts, METHODS))
        save_weights(self.methods, directory / METHOD_WEIGHTS)
        self.cameras.save(directory)

    @classmethod
    def load(cls, directory: StrPath, *, device: torch.device | str = "cpu") -> Representation:
        """Read what a pre-training wrote; safe on files from strangers.

            representation = Representation.load("runs/pretrained")
            features = representation.cameras({"image": images})  # [n, f] of uint8 [n, h, w, c]

        Raises:
            UserError: A file is missing, damaged or does not fit.
        """
        directory = Path(directory)
        facts = read_facts(directory)
        cameras = CameraNets.load(directory, device=device)
        cfg, shapes = facts.config, cameras.seen.values()
        with unallocated():
            representation = cls(cfg, cameras.cfg)
        representation.cameras = cameras
        representation.methods = build_with_weights(
            lambda: nn.ModuleList(cfg.method.build(cfg.vision, shape) for shape in shapes), directory / METHOD_WEIGHTS
        ).to(device)
        return representation.eval()


def read_facts(directory: Path) -> PretrainFacts:
    """What a run of pre-training says of itself.

    Raises:
        UserError: The directory is none, or the file is damaged.
    """
    return read_together(PretrainFacts, directory, RUN_FILE, METHODS, "no pre-training")
