"""What conformal thresholds promise, counted: coverage of split conformal, bands over episodes and tubes.

    python -m benchmarks.conformal [--out docs/results/conformal.json]

Synthetic scores, because exactness does not depend on where scores come from: standard normal ones for a threshold,
and for episodes autocorrelated ones of 50 steps whose mean and spread grow. Beside each rule stands what published
detectors do instead. Takes ten seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.common import keep, options
from robolearn import seeds
from robolearn.errors import user_errors
from robolearn.trust.conformal.bands import Band, fit_band
from robolearn.trust.conformal.thresholds import TooFewWarning, threshold, threshold_rank
from robolearn.trust.conformal.tubes import tube, tube_scale, union_tube

DRAWS, STEPS, SEED = 500, 50, seeds.FIXED
Rule = Callable[[np.ndarray, float], float]


def interpolated(scores: np.ndarray, alpha: float) -> float:
    """The quantile that published one-sided bands use."""
    return float(np.quantile(scores, 1 - alpha))


def exceedance(rule: Rule, n: int, num_new: int, alpha: float, draws: int) -> np.ndarray:
    """Share of new scores above the threshold, in each of independent draws of calibration and new scores."""
    rng = np.random.default_rng(SEED)
    return np.array([(rng.standard_normal(num_new) > rule(rng.standard_normal(n), alpha)).mean() for _ in range(draws)])


def chi_square(shares: np.ndarray, n: int, num_new: int, alpha: float) -> float:
    """p-value of covered counts against BetaBinomial(num_new, k, n + 1 - k), in ten bins."""
    k = threshold_rank(n, alpha)
    law = stats.betabinom(num_new, k, n + 1 - k)
    edges = np.unique(law.ppf(np.linspace(0, 1, 11)[1:-1]))
    counts = np.rint((1 - shares) * num_new)
    seen = np.bincount(np.searchsorted(edges, counts), minlength=len(edges) + 1)
    expected = np.diff(np.concatenate([[0.0], law.cdf(edges), [1.0]])) * len(counts)
    return float(stats.chisquare(seen, expected).pvalue)


def episodes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Scores [n, 50] of episodes."""
    x = np.zeros((n, STEPS))
    for t in range(1, STEPS):
        x[:, t] = 0.8 * x[:, t - 1] + rng.standard_normal(n)
    time = np.arange(STEPS) / STEPS
    return time + (0.2 + time) * x


def with_error(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Mean over independent draws, and its standard error."""
    return {"mean": float(np.mean(values)), "se": float(np.std(values) / np.sqrt(len(values)))}


def false_alarms(make: Callable[[np.ndarray, np.ndarray], Band], n: int, draws: int) -> dict[str, float]:
    """Share of new episodes with an alarm."""
    rng = np.random.default_rng(SEED)
    rates = [make(episodes(rng, n), episodes(rng, n)).alarms(episodes(rng, 100)).any(1).mean() for _ in range(draws)]
    return with_error(rates)


def coverage(make: Callable[[np.ndarray, np.ndarray], np.ndarray], n: int, draws: int) -> dict[str, float]:
    """Share of new trajectories inside a tube at all steps, and its mean radius."""
    rng, inside, radii = np.random.default_rng(SEED), [], []
    for _ in range(draws):
        radius = make(np.abs(episodes(rng, n)), np.abs(episodes(rng, n)))
        inside.append((np.abs(episodes(rng, 100)) <= radius).all(1).mean())
        radii.append(radius.mean())
    return {**with_error(inside), "radius": float(np.mean(radii))}


def measure(draws: int) -> dict[str, Any]:
    """All numbers, from so many draws of calibration and new scores each."""
    split = []
    for n, alpha in ((10, 0.05), (10, 0.1), (20, 0.05), (20, 0.1), (50, 0.05), (50, 0.1), (100, 0.1)):
        row: dict[str, Any] = {"n": n, "alpha": alpha, "promised": 1 - threshold_rank(n, alpha) / (n + 1)}
        for name, rule in (("rank", threshold), ("interpolated", interpolated)):
            shares = exceedance(rule, n, 500, alpha, draws)
            row[name] = with_error(shares)
            if threshold_rank(n, alpha) <= n:
                row[name]["p_beta_binomial"] = chi_square(shares, n, 500, alpha)
        split.append(row)

    def per_step(shape: np.ndarray, height: np.ndarray) -> Band:
        scores = np.concatenate([shape, height])
        return Band(np.quantile(scores, 0.9, axis=0), np.ones(STEPS), 0.0)

    bands = {
        "band": false_alarms(lambda a, b: fit_band(a, b, 0.1), 50, draws),
        "constant": false_alarms(lambda a, b: fit_band(a, b, 0.1, constant=True), 50, draws),
        "the same episodes twice": false_alarms(lambda a, b: fit_band(a, a, 0.1), 50, draws),
        "a threshold per step": false_alarms(per_step, 50, draws),
    }
    tubes = {
        "normalised maximum": coverage(lambda e, other: tube(e, tube_scale(other), 0.1), 600, draws),
        "union bound": coverage(lambda e, other: union_tube(e, 0.1), 600, draws),
        "a quantile per step": coverage(lambda e, other: np.quantile(e, 0.9, axis=0), 600, draws),
    }
    return {"split": split, "bands": bands, "tubes": tubes}


def main() -> None:
    """Measure, write and show."""
    cfg = options(__doc__).parse_args()
    draws = 2 if cfg.dry_run else DRAWS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TooFewWarning)  # 10 scores at alpha 0.05 are meant to give infinity
        numbers = measure(draws)
    keep(cfg.out, {"draws": draws, "seed": SEED, **numbers})
    for row in numbers["split"]:
        ranked, other = row["rank"]["mean"], row["interpolated"]["mean"]
        print(
            f"n {row['n']:3d}  alpha {row['alpha']:.2f}  promised {row['promised']:.3f}  rank {ranked:.3f}  "
            f"interpolated {other:.3f}"
        )
    for name, band in numbers["bands"].items():
        print(f"false alarms per episode at alpha 0.1, {name}: {band['mean']:.3f} +- {band['se']:.3f}")
    for name, share in numbers["tubes"].items():
        print(f"covered at alpha 0.1, {name}: {share['mean']:.3f} +- {share['se']:.3f}, radius {share['radius']:.2f}")


if __name__ == "__main__":
    with user_errors():
        main()
