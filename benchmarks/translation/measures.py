"""What is measured of policies and of translations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import part, spaced_frames
from benchmarks.perception import shifts_of
from benchmarks.trainings import line, measure, train_once, unchanged
from benchmarks.translation.study import (
    CAMERA,
    FRAMES,
    KINDS,
    PART,
    PLAIN,
    PROBE_STEPS,
    PROBED,
    REAL,
    SEEN_PLAIN,
    WAYS,
    Study,
)
from robolearn import DemoStore
from robolearn.nets.descent import FitConfig
from robolearn.policies.policy import Policy
from robolearn.translation.labels import probe_labels
from robolearn.translation.method import Side
from robolearn.translation.translator import Translator

Shown = tuple[np.ndarray, np.ndarray]  # images [n, h, w, c], and where the rows of obstacles stand in them [n, 3]


def measured(study: Study, row: str) -> None:
    """Measure the success of a row's policy, episode by episode."""

    def make() -> dict[str, Any]:
        trained = {"lost": "plain", "jitter-plain": "jitter"}.get(row, row)
        name = "plain" if trained.endswith("/eyes") else trained.replace("/", "-")
        run = train_once(name, study.recipe(row), study.seed, study.demonstrations(row), study.work, dry=study.dry)
        change = eyes(study, row.split("/")[0]) if row.endswith("/eyes") else unchanged
        return measure([run], PLAIN if row in SEEN_PLAIN else REAL, study.episodes, change=change)

    result = part(study.out, f"{PART}/{row}/{study.seed}", make, study.asked(row))
    print(f"{row}, seed {study.seed}: {line(result)}", flush=True)


def eyes(study: Study, method: str) -> Callable[[int, Policy], None]:
    """Put a translator before a policy that knows plain images."""
    run, side = study.translator(method, "source")
    return lambda _, policy: Translator.load(run).put_before(policy.encoder, side)


def labelled(study: Study, method: str) -> None:
    """Read where the rows of obstacles stand from recorded images and from translations, in both directions."""

    def make() -> dict[str, Any]:
        plain, real = frames(study.plain, study.dry), frames(study.real, study.dry)
        pairs = ((real, plain), (plain, real))
        return {way: probed(study, method, WAYS[way], *pair) for way, pair in zip(WAYS, pairs, strict=True)}

    result = part(study.out, f"{PART}/{method}/labels/{study.seed}", make, study.asked(f"{method}/labels"))
    for way in WAYS:
        recorded, translated = (np.min(result[way][kind]["correlation"]) for kind in KINDS)
        print(f"{method}, seed {study.seed}, {way}: worst row {recorded:.3f}, {translated:.3f}", flush=True)


def probed(study: Study, method: str, arrives: Side, home: Shown, away: Shown) -> dict[str, Any]:
    """The same in one direction, from images of `away` to such as are recorded at `home`."""
    run, side = study.translator(method, arrives)
    fit = FitConfig(steps=2, batch_size=4) if study.dry else FitConfig(steps=PROBE_STEPS)
    cut = len(home[0]) * 4 // 5
    training, heldout = (home[0][:cut], home[1][:cut]), (home[0][cut:], home[1][cut:])
    images, rows = away[0][cut:], away[1][cut:]
    made = Translator.load(run).translate({CAMERA: torch.from_numpy(images)}, side)[CAMERA].numpy()
    probe = probe_labels(training, heldout, (made, rows), fit=fit, seed=study.seed)
    return {kind: {name: told.tolist() for name, told in read.items()} for kind, read in asdict(probe).items()}


def frames(path: Path, dry: bool) -> Shown:
    """Frames of a store's episodes, and where the rows stand in them, which follows from the seed."""
    store = DemoStore.open(path)
    count = min(6 if dry else PROBED, store.num_episodes)
    images = spaced_frames(store, (CAMERA,), count, FRAMES)[CAMERA]
    return images, shifts_of(store.episode_attrs["seed"][:count]).repeat(FRAMES, axis=0)
