"""The generators of a trained translator, in files and at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from robolearn.config import read_together, to_json, write_json
from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.nets.encoder import ObsEncoder
from robolearn.nets.weights import build_with_weights, save_weights
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.method import Side, check_shape
from robolearn.translation.networks import recorded, seen
from robolearn.translation.registry import TRANSLATIONS

FACTS_FILE, WEIGHTS_FILE = "translator.json", "generators.safetensors"
ROWS = 32  # images that are translated together


@dataclass(frozen=True)
class TranslatorFacts:
    """What a translator is: what was asked for, what was learned from, and how far it is."""

    config: TranslatorConfig
    shapes: dict[str, tuple[int, ...]]
    """Camera -> shape of its images, [h, w, c]."""
    content_hashes: dict[Side, str]
    """Side -> sha256 of its store's images."""
    step: int
    """Optimizer steps that are done."""


class Translator(nn.Module):
    """Generators of all cameras, by the side that their images arrive at.

        translator = Translator.load("runs/real")
        real = translator.translate({"image": images})  # uint8 [n, h, w, c] of the source

    Args:
        facts: Method and cameras.
    """

    def __init__(self, facts: TranslatorFacts):
        super().__init__()
        self.facts = facts
        for camera, shape in facts.shapes.items():
            check_shape(camera, shape)
        self.generators = nn.ModuleList(facts.config.method.generators(shape) for shape in facts.shapes.values())

    @property
    def sides(self) -> tuple[Side, ...]:
        """Where images can be translated to."""
        return self.facts.config.method.arrives_at

    def generator(self, camera: str, to: Side = "target") -> nn.Module:
        """The network that translates images of a camera.

        Raises:
            UserError: There is no such camera, or nothing was trained that arrives at this side.
        """
        if camera not in self.facts.shapes:
            raise UserError(f"{self.facts.config.out}: no camera {camera!r}; it has {', '.join(self.facts.shapes)}")
        if to not in self.sides:
            raise UserError(
                f"{self.facts.config.out} translates to {' and '.join(self.sides)} alone; train one whose target is "
                f"this one's {to}"
            )
        by_side = self.generators[list(self.facts.shapes).index(camera)]
        assert isinstance(by_side, nn.ModuleDict)
        return by_side[to]

    @torch.no_grad()
    def translate(
        self, images: Mapping[str, Shaped[Tensor, "n h w c"]], to: Side = "target"
    ) -> dict[str, UInt8[Tensor, "n h w c"]]:
        """Translate images.

        Args:
            images: Camera -> images, 0 .. 255 of any type, on any device.
            to: Side that they shall look like.

        Raises:
            UserError: See `generator`.
        """
        made = {}
        for camera, batch in images.items():
            sight, device = Sight(self.generator(camera, to)), next(self.parameters()).device
            parts = [sight(part.to(device)).to(batch.device) for part in batch.split(ROWS)]
            made[camera] = torch.cat(parts)
        return made

    def put_before(self, encoder: ObsEncoder, to: Side) -> None:
        """Let a policy's cameras see translations of what it observes.

        Args:
            encoder: Of the policy; changed in place.
            to: Side that the policy was trained on.

        Raises:
            UserError: The policy has no camera, one that is none of the translator or has other images, or see
                `generator`.
        """
        name, shapes = self.facts.config.out, self.facts.shapes
        if not encoder.cameras:
            raise UserError(f"{name} translates images ({', '.join(shapes)}), and the policy sees none")
        for index, camera in enumerate(encoder.cameras):
            if shapes.get(camera, encoder.shapes[camera]) != encoder.shapes[camera]:
                ours, theirs = ("x".join(map(str, sizes[camera])) for sizes in (encoder.shapes, shapes))
                raise UserError(f"{name} was trained on images of {camera!r} of {theirs}, the policy sees {ours}")
            encoder.networks[index] = nn.Sequential(Sight(self.generator(camera, to)), encoder.networks[index])

    def save(self, directory: Path) -> None:
        """Write JSON and safetensors into a directory; never pickle."""
        write_json(directory / FACTS_FILE, to_json(self.facts, TRANSLATIONS))
        save_weights(self, directory / WEIGHTS_FILE)

    @classmethod
    def load(cls, directory: StrPath, *, device: torch.device | str = "cpu") -> Translator:
        """Read what a training wrote; safe on files from strangers.

        Raises:
            UserError: A file is missing, damaged or does not fit.
        """
        directory = Path(directory)
        facts = read_facts(directory)
        return build_with_weights(lambda: cls(facts), directory / WEIGHTS_FILE).to(device).eval()


class Sight(nn.Module):
    """What a generator makes of images as they are recorded, in the same form.

    Args:
        generator: Of images [n, c, h, w] with pixels in [-1, 1].
    """

    def __init__(self, generator: nn.Module):
        super().__init__()
        self.generator = generator

    def forward(self, images: Shaped[Tensor, "n h w c"]) -> UInt8[Tensor, "n h w c"]:
        """Translate; each image by itself."""
        made: Float[Tensor, "n c h w"] = self.generator(seen(images))
        return recorded(made)


def read_facts(directory: Path) -> TranslatorFacts:
    """What a translator says of itself.

    Raises:
        UserError: The directory is none, or the file is damaged.
    """
    return read_together(TranslatorFacts, directory, FACTS_FILE, TRANSLATIONS, "no translator")
