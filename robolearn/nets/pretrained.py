"""Networks of cameras in files: what pre-training writes, and what the training of a policy begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.config import read_together, to_json, write_json
from robolearn.errors import UserError
from robolearn.images import ImageLayout
from robolearn.nets.imagenet import MEAN, imagenet_trunk
from robolearn.nets.vision import VisionConfig
from robolearn.nets.weights import build_with_weights, save_weights

CAMERAS_FILE, CAMERAS_WEIGHTS = "cameras.json", "cameras.safetensors"
FILE_SUFFIX = ".safetensors"  # of what is no run but ImageNet weights
IMAGENET = "resnet18_imagenet"

Shapes = Mapping[str, tuple[int, ...]]
State = dict[str, Tensor]


@dataclass(frozen=True)
class CamerasConfig:
    """Everything needed to build the networks of some cameras, weights aside."""

    vision: VisionConfig
    shapes: dict[str, tuple[int, ...]]
    """Camera -> shape of an image [h, w, c], before it is cropped and resized."""
    images: dict[str, ImageLayout] = field(default_factory=dict)
    """Camera -> how images were recorded that are not uint8 [h, w, c]."""


class CameraNets(nn.Module):
    """A network per camera, by the camera's name.

    Args:
        cfg: Cameras and their networks.
    """

    def __init__(self, cfg: CamerasConfig):
        super().__init__()
        self.cfg = cfg
        self.seen = {camera: cfg.vision.seen(camera, shape) for camera, shape in cfg.shapes.items()}
        self.networks = nn.ModuleList(cfg.vision.build(shape[-1]) for shape in cfg.shapes.values())

    def by_name(self) -> dict[str, nn.Module]:
        """Camera -> its network."""
        return dict(zip(self.cfg.shapes, self.networks, strict=True))

    def forward(self, obs: Mapping[str, Tensor]) -> Float[Tensor, "n f"]:
        """Features of all cameras in a row.

        Args:
            obs: Camera -> images [n, h, w, c], uint8; other keys are ignored.
        """
        return torch.cat([network(obs[camera]) for camera, network in self.by_name().items()], dim=1)

    def save(self, directory: Path) -> None:
        """Write ``cameras.json`` and ``cameras.safetensors`` into a directory; never pickle."""
        write_json(directory / CAMERAS_FILE, to_json(self.cfg, {}))
        save_weights(self, directory / CAMERAS_WEIGHTS)

    @classmethod
    def load(cls, directory: Path, *, device: torch.device | str = "cpu") -> CameraNets:
        """Read saved networks; safe on files from strangers.

        Raises:
            UserError: A file is missing, damaged or does not fit.
        """
        cfg = read_together(CamerasConfig, directory, CAMERAS_FILE, {}, "no pre-training")
        return build_with_weights(lambda: cls(cfg), directory / CAMERAS_WEIGHTS).to(device).eval()


@dataclass(frozen=True)
class Start:
    """What the networks of cameras begin with.

    Attributes:
        weights: Camera -> weights of its network, all of them or those of its trunk.
        images: Camera -> how images were recorded; those of a policy are to become what they were.
    """

    weights: dict[str, State]
    images: dict[str, ImageLayout]


def read_start(vision: VisionConfig, shapes: Shapes) -> Start:
    """Read the weights that a configuration begins with; none without `init`.

    Args:
        vision: Of the networks that are to have them.
        shapes: Camera -> shape of an image [h, w, c], before it is cropped and resized.

    Raises:
        UserError: There are no weights to begin with though the network needs some, or they do not fit: another
            network, other images, or a camera that they do not know.
    """
    if vision.init is None:
        if vision.network == IMAGENET and shapes:
            raise UserError(f"`vision.network` {IMAGENET} begins with weights; give them with `vision.init`")
        return Start({}, {})
    path = Path(vision.init)
    if not shapes:
        raise UserError(f"`vision.init` {path}: there is no camera; images are observed by `dataset.obs_keys`")
    if is_file(vision):
        return _from_file(vision, path, shapes)
    nets = CameraNets.load(path)
    ours, theirs = vision.structure(), nets.cfg.vision.structure()
    for name, value in ours.items():
        if theirs[name] != value:
            raise UserError(f"`vision.init` {path}: its vision.{name} is {theirs[name]}, here it is {value}")
    for camera, shape in shapes.items():
        if camera not in nets.cfg.shapes:
            raise UserError(f"`vision.init` {path}: no camera {camera!r}; it has {', '.join(nets.cfg.shapes)}")
        if nets.seen[camera] != (sees := vision.view.seen(shape)):
            there, here = ("x".join(map(str, one)) for one in (nets.seen[camera], sees))
            raise UserError(f"`vision.init` {path}: its images of {camera!r} are {there}, here they are {here}")
    weights = {camera: net.state_dict() for camera, net in nets.by_name().items() if camera in shapes}
    return Start(weights, {camera: layout for camera, layout in nets.cfg.images.items() if camera in shapes})


def _from_file(vision: VisionConfig, path: Path, shapes: Shapes) -> Start:
    """ImageNet weights for every camera."""
    if (network := vision.structure()["network"]) != IMAGENET:
        raise UserError(f"`vision.init` {path}: such weights are for `vision.network` {IMAGENET}, here it is {network}")
    if (width := vision.structure()["width"]) != 64:
        raise UserError(f"`vision.init` {path}: its vision.width is 64, here it is {width}")
    for camera, shape in shapes.items():
        if shape[-1] != len(MEAN):
            raise UserError(
                f"`vision.init` {path}: it sees {len(MEAN)} channels, the camera {camera!r} has {shape[-1]}"
            )
    trunk = imagenet_trunk(path)
    return Start(dict.fromkeys(shapes, trunk), {})


def is_file(vision: VisionConfig) -> bool:
    """Whether training begins with the weights of a trunk in a file, and not with all that a run has."""
    return vision.init is not None and Path(vision.init).suffix == FILE_SUFFIX


def begin(networks: Mapping[str, nn.Module], start: Start) -> None:
    """Give networks the weights of a start, camera by camera.

    Args:
        networks: Camera -> its network.
        start: From `read_start` for the same configuration and cameras.
    """
    for camera, weights in start.weights.items():
        problems = networks[camera].load_state_dict(weights, strict=False)
        assert not problems.unexpected_keys, problems


def freeze(networks: Mapping[str, nn.Module], vision: VisionConfig) -> None:
    """Let no training change the weights that `init` gives, where that is asked for."""
    if not vision.freeze:
        return
    for network in networks.values():
        for name, parameter in network.named_parameters():
            if name.startswith("trunk.") or not is_file(vision):
                parameter.requires_grad_(False)
