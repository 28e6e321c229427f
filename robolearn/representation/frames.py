"""Random frames of some episodes, and which of them are to be told apart."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from robolearn.data.augment import augment, augment_draws
from robolearn.data.windows import Windows
from robolearn.nets.vision import VisionConfig
from robolearn.representation.method import Pairs


class Frames:
    """Frames of some episodes, numbered 0 .. len - 1 episode by episode.

    Args:
        windows: Of these episodes, each of one step.
    """

    def __init__(self, windows: Windows):
        self.windows = windows
        _, steps = torch.from_numpy(windows.episode_of).unique_consecutive(return_counts=True)
        ends = steps.cumsum(0)
        self.ends = ends.repeat_interleave(steps).to(windows.device)  # of the episode of each frame, exclusive
        self.starts = (ends - steps).repeat_interleave(steps).to(windows.device)

    def __len__(self) -> int:
        return len(self.windows)

    def draw(self, count: int, pairs: Pairs | None, generator: torch.Generator) -> Int[Tensor, " m"]:
        """Draw frames, each as likely, with repetition.

        Args:
            count: Frames.
            pairs: Each is followed by another one, as this says; by default there are no others.
            generator: On the device of the windows.
        """
        if pairs is None:
            return self._any(count, generator)
        # An episode is as likely as it is long, so that all of its frames are as likely as others.
        episodes = pairs.episodes or count
        some = self._any(episodes, generator).repeat(-(-count // episodes))[:count]
        index = self._between(self.starts[some], self.ends[some], generator)
        low, high = (index - pairs.apart).clamp(min=self.starts[some]), index + pairs.apart + 1
        high = high.clamp(max=self.ends[some])
        partner = self._between(low, (high - 1).clamp(min=low + 1), generator)
        partner += (partner >= index) & (high - low > 1)  # itself only where there is no other
        return torch.stack([index, partner], dim=1).flatten()

    def _any(self, count: int, generator: torch.Generator) -> Int[Tensor, " n"]:
        return torch.randint(len(self), (count,), generator=generator, device=self.windows.device)

    def _between(
        self, low: Int[Tensor, " n"], high: Int[Tensor, " n"], generator: torch.Generator
    ) -> Int[Tensor, " n"]:
        """Numbers in low .. high - 1, each as likely."""
        drawn = torch.rand(len(low), generator=generator, device=low.device, dtype=torch.float64)
        return low + (drawn * (high - low)).long()

    def left_out(self, index: Int[Tensor, " m"], pairs: Pairs | None) -> Bool[Tensor, "m m"]:
        """Which pairs of these frames are not to be told apart: near ones, and where so asked those of two episodes."""
        near = (index[:, None] - index).abs() <= (0 if pairs is None else pairs.apart)
        same = self.starts[index][:, None] == self.starts[index]
        return near & same if pairs is None or pairs.episodes is None else near | ~same

    def images(self, index: Int[Tensor, " m"]) -> dict[str, Tensor]:
        """Camera -> its images [m, h, w, c], as they were recorded."""
        return {camera: images[:, 0] for camera, images in self.windows.batch(index).obs.items()}

    def varied(self, index: Int[Tensor, " m"], vision: VisionConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """The same as a policy is shown them in training: shifted and recolored at random."""
        obs = self.windows.batch(index).obs
        draws = augment_draws(len(index), len(obs), vision.shift, generator=generator)
        changed = augment(obs, tuple(obs), draws, vision.jitter, vision.view, vision.hue)
        return {camera: images[:, 0] for camera, images in changed.items()}
