"""What a training refuses until an option is chosen, found by the very functions that refuse it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore, default_obs_keys
from robolearn.doctor.finding import Finding
from robolearn.errors import UserError
from robolearn.training.config import TrainConfig
from robolearn.training.episodes import find_usable

TRAINING = "training"  # the check of this name says what has to be chosen


def refusals(store: DemoStore) -> Iterator[Finding]:
    """Why a training with default options would refuse an intact store; the sentence names the option to choose."""
    try:
        default_obs_keys(store)
    except UserError as error:
        yield Finding(TRAINING, "warning", str(error))
    try:
        find_usable(Demos([store]), TrainConfig())
    except UserError as error:
        lengths = np.diff(store.episode_ends, prepend=0)
        short = tuple(int(i) for i in np.flatnonzero(lengths < lengths.max()))
        yield Finding(TRAINING, "warning", str(error), episodes=short)
