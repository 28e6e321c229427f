"""Where windows and episodes lie beside each other: maps in two dimensions, and groups of episodes that are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robolearn import seeds
from robolearn.doctor.duplicates import describe
from robolearn.doctor.recording import Recording
from robolearn.types import Array

WINDOW, MAX_WINDOWS = 8, 1500  # steps of a window; windows on a map
MAX_EPISODES, MAX_GROUPS = 2000, 8
CLEAR = 0.25  # silhouette from which groups are told apart (Rousseeuw 1987)
PERPLEXITY = 30


@dataclass(frozen=True)
class Groups:
    """Episodes that are alike.

    Attributes:
        labels: Group of each episode [e], the largest group first.
        silhouette: How clear they are, in [-1, 1]; NaN where all are one group.
    """

    labels: Array
    silhouette: float


def find_groups(recording: Recording) -> Groups:
    """Groups of episodes by k-means, as many as the silhouette is largest for; one where none is clear."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    features = describe(recording)[:MAX_EPISODES]
    best = Groups(np.zeros(len(features), int), float("nan"))
    if features.shape[1] == 0:
        return best
    for count in range(2, min(MAX_GROUPS, len(features) - 1) + 1):
        labels = KMeans(count, n_init="auto", random_state=seeds.FIXED).fit_predict(features)
        score = float(silhouette_score(features, labels)) if len(np.unique(labels)) > 1 else -1.0
        if score >= CLEAR and not score <= best.silhouette:
            order = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
            best = Groups(np.argsort(order)[labels], score)
    return best


@dataclass(frozen=True)
class Maps:
    """Windows in two dimensions.

    Attributes:
        rows: Last row of each window [n].
        pca: Their first two principal components [n, 2].
        explained: Share of the variance that each of these explains [2].
        tsne: Their neighborhoods (van der Maaten & Hinton 2008) [n, 2].
    """

    rows: Array
    pca: Array
    explained: Array
    tsne: Array


def map_windows(recording: Recording) -> Maps | None:
    """Maps of windows that are spread evenly over the recording; None where too few to draw, or all the same."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    numbers = [x for key in recording.rows for _, x in recording.varying(key)]
    rows = _window_rows(recording)
    if not numbers or len(rows) < 3 * PERPLEXITY:
        return None
    x = np.stack(numbers, 1)
    low, high = np.quantile(x, [0.01, 0.99], axis=0)
    x = np.clip((x - low) / np.maximum(high - low, 1e-9), -1, 2)
    windows = x[rows[:, None] - np.arange(0, WINDOW, 2)].reshape(len(rows), -1)
    if not np.ptp(windows, axis=0).any():  # as where only first steps differ; t-SNE would divide by their spread
        return None
    pca = PCA(min(20, *windows.shape), random_state=seeds.FIXED)
    reduced = pca.fit_transform(windows)
    if reduced.shape[1] < 2:
        return None
    tsne = TSNE(perplexity=PERPLEXITY, init="pca", random_state=seeds.FIXED, max_iter=500).fit_transform(reduced)
    return Maps(rows, reduced[:, :2], pca.explained_variance_ratio_[:2], np.asarray(tsne))


def _window_rows(recording: Recording) -> Array:
    step = np.arange(len(recording.episode_of)) - recording.starts[recording.episode_of]
    rows = np.flatnonzero(step >= WINDOW - 1)
    return rows[np.linspace(0, len(rows) - 1, min(MAX_WINDOWS, len(rows))).astype(int)] if len(rows) else rows
