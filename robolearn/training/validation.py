"""How well a policy explains windows that it was not trained on."""

from __future__ import annotations

import torch

from robolearn.data.windows import Windows
from robolearn.policies.policy import Policy
from robolearn.training.config import TrainConfig

VALIDATION_WINDOWS = 2048
VALIDATION_BATCH = 512


@torch.no_grad()
def validation_loss(policy: Policy, windows: Windows, cfg: TrainConfig) -> float:
    """Loss on held-out windows, always the same ones with the same noise."""
    generator = torch.Generator(policy.device).manual_seed(cfg.seed)
    index = torch.randint(len(windows), (VALIDATION_WINDOWS,), generator=generator, device=policy.device)
    draws = policy.validation_draws(VALIDATION_WINDOWS, generator=generator)
    # What a step trains on fits into memory; more images might not, and few numbers at a time take long.
    size = cfg.batch_size if policy.encoder.cameras else max(cfg.batch_size, VALIDATION_BATCH)
    total = torch.zeros((), device=policy.device)
    for start in range(0, VALIDATION_WINDOWS, size):
        part = slice(start, start + size)
        batch, shard = windows.batch(index[part]), {name: value[part] for name, value in draws.items()}
        total += policy.validation_loss(batch, shard) * len(index[part])  # the last batch may be smaller
    return total.item() / VALIDATION_WINDOWS
