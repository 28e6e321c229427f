"""How many threads torch computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from robolearn.mapper import Needs


def needs_of(device: torch.device) -> Needs:
    """What a job takes that computes as this process does, so that it rounds as this process does."""
    return Needs(torch.get_num_threads(), device.type == "cuda")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: sums are then rounded alike everywhere, and small tensors gain from no more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
