"""When an episode ends, and how: the probability that an action in a state brings success, failure or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.data.normalizer import Normalizer
from robolearn.nets.descent import FitConfig, descend
from robolearn.simulator.transitions import Ends, Recording, changes_before
from robolearn.types import Array

WIDTH = 256
CLASSES = (Ends.NOTHING, Ends.SUCCESS, Ends.FAILURE)  # in the order of the logits


class Ending(nn.Module):
    """A classifier of (state, changes before it, action).

    Args:
        normalizer: Key "seen": these, one after the other.
    """

    def __init__(self, normalizer: Normalizer):
        super().__init__()
        self.normalizer = normalizer
        inputs = len(normalizer.get_buffer("seen_scale"))
        layers = nn.Linear(inputs, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, len(CLASSES))
        self.net = nn.Sequential(*layers)

    def forward(self, seen: Float[Tensor, "*n d"]) -> Float[Tensor, "*n 3"]:
        """Logits of `CLASSES`."""
        return self.net(self.normalizer.normalize("seen", seen))

    def draw(self, seen: Float[Tensor, "*n d"], share: Float[Tensor, "*n"]) -> Tensor:
        """What happens, as `Ends` [*n], where `share` in [0, 1) is uniform."""
        cumulative = self(seen).softmax(-1).cumsum(-1)
        return (share[..., None] >= cumulative[..., :-1]).sum(-1)


def fit_ending(recordings: Sequence[Recording], history: int, fit: FitConfig, *, seed: int) -> Ending:
    """Learn from recorded episodes, by cross-entropy; a last step of which nobody knows what it led to is left out.

    Ends are rare. All classes are drawn equally often, and the logits of the loss are those of the network plus the
    logarithm of how much more often each is drawn than it occurs, so that the network's own are of what occurs.

    Source: Menon et al. 2021 (logit adjustment), arXiv:2007.07314, section 4.

    Args:
        recordings: Episodes.
        history: States that are seen, now included.
        fit: How.
        seed: The same seed gives the same network.
    """
    rows, labels = zip(*(_examples(recording, history) for recording in recordings), strict=True)
    seen, wanted = torch.from_numpy(np.concatenate(rows)).float(), torch.from_numpy(np.concatenate(labels))
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    ending = Ending(Normalizer.fit({"seen": seen}, mode="zscore"))
    counts = torch.bincount(wanted, minlength=len(CLASSES)).double()
    # Of a class that never occurs nothing is drawn: its logit sinks.
    weight = torch.where(counts > 0, 1 / counts, 0)[wanted]
    more = torch.where(counts > 0, counts.sum() / counts, 1).log().float()

    def draw_loss() -> Tensor:
        index = weight.multinomial(fit.batch_size, replacement=True, generator=generator)
        return nn.functional.cross_entropy(ending(seen[index]) + more, wanted[index])

    descend(ending.parameters(), draw_loss, fit)
    return ending.eval()


def _examples(recording: Recording, history: int) -> tuple[Array, Array]:
    """What is seen at each step [t, d], and the class of it [t]."""
    known = len(recording) - (recording.ends == Ends.UNKNOWN)
    seen = (recording.states, changes_before(recording.states, history), recording.actions)
    labels = np.full(len(recording), int(Ends.NOTHING))
    labels[-1] = int(recording.ends)
    return np.concatenate(seen, axis=1)[:known], labels[:known]
