"""Whether translated images still show what their labels say: numbers read from them, beside recorded ones.

Scores of images do not tell. A translation that moves an obstacle, or swaps two, may look as real as any other, and
one that goes there and back may hide what it needs in a pattern that no policy sees (Chu et al. 2017,
arXiv:1712.02950).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from robolearn import seeds
from robolearn.errors import UserError
from robolearn.nets.descent import FitConfig
from robolearn.perception.ensemble import PerceptionConfig, PerceptionEnsemble
from robolearn.perception.fit import fit_ensemble
from robolearn.representation.probe import check_varied, explained
from robolearn.translation.translator import ROWS

Labelled = tuple[UInt8[np.ndarray, "_ _ _ _"], Float[np.ndarray, "_ _"]]
MEMBERS = 2  # networks, whose mean is what is read
STEPS = 1200


@dataclass(frozen=True)
class Reading:
    """What is read from images of numbers that they show.

    Attributes:
        correlation: Of what is read with each number [d], in [-1, 1]; NaN where the same is read from all images. A
            translation that moves everything alike, as cameras in other places do, does not lower it.
        explained: Share of each number's variance that is read (R^2) [d]: 1 at best, 0 for saying the mean, below 0 for
            worse. It falls too where everything is moved alike.
    """

    correlation: Float[np.ndarray, " d"]
    explained: Float[np.ndarray, " d"]


@dataclass(frozen=True)
class LabelProbe:
    """How much of each number is read from images of both kinds.

    Attributes:
        recorded: From held-out recorded images.
        translated: From translations; where their correlation is far below, they do not show what they are labeled.
    """

    recorded: Reading
    translated: Reading


def probe_labels(
    training: Labelled,
    heldout: Labelled,
    translated: Labelled,
    *,
    fit: FitConfig | None = None,
    seed: int = seeds.FIXED,
) -> LabelProbe:
    """Learn to read numbers from recorded images of the side where translations arrive, and read translations.

        probe = probe_labels((images, places), (heldout_images, heldout_places), (as_target, source_places))

    Args:
        training: Images uint8 [n, h, w, c] of that side, and numbers [n, d] that they show.
        heldout: The same of other episodes.
        translated: Translations, with the numbers of the images that they were made of.
        fit: How the networks are fitted; by default in `STEPS`.
        seed: Fixes their weights and batches.

    Raises:
        UserError: There are no images, they or the numbers do not fit together, or a number is the same in all rows
            that are read.
    """
    (images, numbers), shape = training, training[0].shape[1:]
    for name, (seen, values) in (("training", training), ("held-out", heldout), ("translated", translated)):
        if not (0 < len(seen) == len(values) and seen.shape[1:] == shape and values.shape[1:] == numbers.shape[1:]):
            raise UserError(f"probe: {name} images {seen.shape} and numbers {values.shape} do not fit together")
    for _, values in (heldout, translated):
        check_varied(values)
    cfg = PerceptionConfig(shape, num_values=numbers.shape[1], num_members=MEMBERS)
    reader = fit_ensemble(cfg, images[:, None], numbers, fit or FitConfig(STEPS), seed=seed)
    return LabelProbe(*(compare(read(reader, seen), values) for seen, values in (heldout, translated)))


def compare(predicted: Float[np.ndarray, "n d"], numbers: Float[np.ndarray, "n d"]) -> Reading:
    """What was read, beside what is there."""
    x, y = (values - values.mean(0) for values in (predicted, numbers))
    norm = np.sqrt(np.square(x).sum(0) * np.square(y).sum(0))
    varies = np.ptp(predicted, axis=0) > 0  # equal numbers may have another number as their mean
    correlation = np.divide((x * y).sum(0), norm, out=np.full(len(norm), np.nan), where=varies & (norm > 0))
    return Reading(correlation, explained(predicted, numbers))


@torch.no_grad()
def read(reader: PerceptionEnsemble, images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
    """The mean of what all members read."""
    parts = [reader(part).mean(0) for part in torch.from_numpy(np.ascontiguousarray(images)).split(ROWS)]
    return torch.cat(parts).double().numpy()
