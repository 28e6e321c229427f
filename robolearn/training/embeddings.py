"""A run's demonstrations once more: its windows, and embeddings of them, which scores of familiarity are fitted to."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.data.windows import Windows
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.policy import Policy
from robolearn.training.assemble import load_data, open_demos
from robolearn.training.config import TrainConfig
from robolearn.training.episodes import Kept
from robolearn.training.examples import random_batches
from robolearn.training.run import DataFacts


def training_windows(cfg: TrainConfig, data: DataFacts, policy: Policy) -> Windows:
    """Windows of the episodes that a run was trained on.

    Args:
        cfg: Of the run; its data must be at hand.
        data: What the run was trained on.
        policy: That it trained, on the device where batches are made.

    Raises:
        UserError: The data cannot be opened, or have changed since.
    """
    return load_data(cfg, open_demos(cfg), policy.device, Kept(data, step=0), policy.cfg.images)[1]


@torch.inference_mode()
def embed_demonstrations(
    cfg: TrainConfig, data: DataFacts, ensemble: Ensemble, count: int
) -> tuple[Float[Tensor, "m d"], Float[Tensor, "m p"]]:
    """Embed random windows of the training episodes, turned as in training.

    Args:
        cfg: Of the run; its data must be at hand.
        data: What the run was trained on.
        ensemble: Its policies.
        count: Windows, all where there are fewer.

    Returns:
        Embeddings, and the normalized chunks in a row.

    Raises:
        UserError: The data cannot be opened, or have changed since.
    """
    windows = training_windows(cfg, data, ensemble.members[0])
    generator = torch.Generator(ensemble.device).manual_seed(cfg.seed)
    embeddings, chunks = [], []
    for batch in random_batches(ensemble.members[0], windows, count, generator):
        embeddings.append(ensemble.embed(batch.obs))
        chunks.append(ensemble.normalize(batch.actions).flatten(1))
    return torch.cat(embeddings), torch.cat(chunks)
