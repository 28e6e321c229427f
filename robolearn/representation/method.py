"""What a method of pre-training is: a loss of one camera's network on its images, and what can be looked at of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor, nn

from robolearn.nets.vision import VisionConfig

Shape = tuple[int, ...]
GRAY = 127.5  # the level that a network sees as 0


@dataclass(frozen=True)
class Pairs:
    """How frames are drawn in pairs.

    Attributes:
        apart: Steps at most from a frame to the second one of its episode; 0 for the same frame.
        episodes: From how many episodes the frames of a batch are, of which those of the same one are told apart; None
            for frames from anywhere, which are all told apart.
    """

    apart: int
    episodes: int | None = None


@dataclass(frozen=True)
class MethodConfig(ABC):
    """A method and its options; one class per method."""

    @property
    def pairs(self) -> Pairs | None:
        """How two views of each frame are drawn; None for methods that see one view of each."""
        return None

    @abstractmethod
    def build(self, vision: VisionConfig, shape: Shape) -> Method:
        """Build what is trained beside the network of one camera.

        Args:
            vision: The network.
            shape: Of its images, [h, w, c].

        Raises:
            UserError: The method cannot be used with these images or this configuration.
        """


class Method(nn.Module, ABC):
    """What is trained beside the network of one camera, and is not needed any more by a policy."""

    @abstractmethod
    def loss(
        self,
        network: nn.Module,
        images: UInt8[Tensor, "m h w c"],
        left_out: Bool[Tensor, "m m"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Loss of a batch.

        Args:
            network: From images, 0 .. 255 of any type, to features [m, f].
            images: As they are shown in training; two views of a frame lie side by side.
            left_out: Which pairs of them are not to be told apart; each with itself is not.
            generator: Draws all that is random, on the device of the images.
        """

    @abstractmethod
    def show(
        self,
        network: nn.Module,
        frames: UInt8[Tensor, "n h w c"],
        gallery: UInt8[Tensor, "g h w c"],
        generator: torch.Generator,
    ) -> dict[str, UInt8[Tensor, "n h w c"]]:
        """What can be looked at of some frames.

        Args:
            network: As for the loss.
            frames: Held out.
            gallery: Frames of other episodes.
            generator: As for the loss.

        Returns:
            Name -> an image for each frame.
        """


def pixels(images: Shaped[Tensor, "n h w c"]) -> Float[Tensor, "n h w c"]:
    """Images, 0 .. 255, as a network sees them: -1 .. 1."""
    return images.float() / GRAY - 1


def levels(values: Float[Tensor, "n h w c"]) -> UInt8[Tensor, "n h w c"]:
    """Images, 0 .. 255, of what a decoder gives."""
    return ((values.float() + 1) * GRAY).round().clamp(0, 255).to(torch.uint8)
