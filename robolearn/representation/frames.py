"""Random frames of some episodes, and which of them lie near each other in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from robolearn.data.augment import augment, augment_draws
from robolearn.data.windows import Windows
from robolearn.nets.vision import VisionConfig


class Frames:
    """Frames of some episodes, numbered 0 .. len - 1 episode by episode.

    Args:
        windows: Of these episodes, each of one step.
        lengths: Steps of each of them [e].
    """

    def __init__(self, windows: Windows, lengths: np.ndarray | Sequence[int]):
        self.windows = windows
        steps, ends = torch.as_tensor(lengths), torch.as_tensor(lengths).cumsum(0)
        assert ends[-1] == len(windows), "a window per step"
        self.ends = ends.repeat_interleave(steps).to(windows.device)  # of the episode of each frame, exclusive
        self.starts = (ends - steps).repeat_interleave(steps).to(windows.device)

    def __len__(self) -> int:
        return len(self.windows)

    def draw(self, count: int, apart: int | None, generator: torch.Generator) -> Int[Tensor, " m"]:
        """Draw frames, each as likely, with repetition.

        Args:
            count: Frames.
            apart: With a number, each is followed by a frame of the same episode at most so many steps away, each as
                likely: by itself with 0.
            generator: On the device of the windows.
        """
        index = torch.randint(len(self), (count,), generator=generator, device=self.windows.device)
        if apart is None:
            return index
        low = (index - apart).clamp(min=self.starts[index])
        others = (index + apart + 1).clamp(max=self.ends[index]) - low - 1
        drawn = torch.rand(count, generator=generator, device=index.device, dtype=torch.float64)
        partner = low + (drawn * others).long()
        partner += (partner >= index) & (others > 0)  # itself only where there is no other
        return torch.stack([index, partner], dim=1).flatten()

    def near(self, index: Int[Tensor, " m"], apart: int | None) -> Bool[Tensor, "m m"]:
        """Which of these frames are of one episode and at most `apart` steps away from each other; by default 0."""
        close = (index[:, None] - index).abs() <= (apart or 0)
        return close & (self.starts[index][:, None] == self.starts[index])

    def images(self, index: Int[Tensor, " m"]) -> dict[str, Tensor]:
        """Camera -> its images [m, h, w, c], as they were recorded."""
        return {camera: images[:, 0] for camera, images in self.windows.batch(index).obs.items()}

    def varied(self, index: Int[Tensor, " m"], vision: VisionConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """The same as a policy is shown them in training: shifted and recolored at random."""
        obs = self.windows.batch(index).obs
        draws = augment_draws(len(index), len(obs), vision.shift, generator=generator)
        return {camera: images[:, 0] for camera, images in augment(obs, tuple(obs), draws, vision.jitter).items()}
