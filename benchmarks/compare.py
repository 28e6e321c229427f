"""What comparisons of two policies promise, counted, and how many episodes they take beside McNemar's test.

    python -m benchmarks.compare [--out docs/results/compare.json]

Errors: sequences of differences whose mean is known, looked at after each of a thousand pairs. How often does any look
exclude the true mean? Beside it stands what a test for one look does when it is looked at as often. Episodes: paired
successes that differ, exactly and without drawing: how many pairs until the verdict, where as many are allowed as give
the power of McNemar's exact test, beside the size of that test. Takes some minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import binom

from benchmarks.common import keep, options
from benchmarks.tables import interval, table
from robolearn import seeds
from robolearn.errors import user_errors
from robolearn.stats.proportions import clopper_pearson
from robolearn.stats.sequences import BETS, SHARES, log_capital

ALPHA, POWERS, SEED = 0.05, (0.8, 0.9), seeds.FIXED
SEQUENCES, PAIRS, AT_ONCE = 5000, 1000, 100
FIRST_LOOK = 10  # of the test for one look
EFFECTS, DISCORDANT = (0.05, 0.1, 0.2, 0.3), (1.0, 1.5, 2.0, 3.0, 5.0)  # the second in units of the first
BATCH = 16

Law = tuple[np.ndarray, np.ndarray]  # differences and their probabilities


def successes(difference: float, discordant: float) -> Law:
    """Of paired successes: B alone succeeds, A alone, both or neither."""
    ahead, behind = (discordant + difference) / 2, (discordant - difference) / 2
    return np.array([1.0, 0.0, -1.0]), np.array([ahead, 1 - discordant, behind])


def correlated(success: float, correlation: float) -> Law:
    """Of two policies that succeed equally often."""
    return successes(0.0, 2 * success * (1 - success) * (1 - correlation))


def scores(difference: float, spread: float) -> Law:
    """Differences of partial credit, a triangle of half-width ``spread`` about the mean."""
    points = np.linspace(-1, 1, 41)
    weights = 1 - np.abs(points) + 0.0
    return difference + spread * points, weights / weights.sum()


def seldom(much: float, little: float) -> Law:
    """Seldom ``much``, else ``little``, of the other sign: mean 0, as skewed as differences can be."""
    return np.array([much, little]), np.array([abs(little), abs(much)]) / (abs(much) + abs(little))


def nulls() -> dict[str, Law]:
    """Policies that are equally good, in one way or another."""
    laws = {
        f"success {p:g} each, correlation {r:g}": correlated(p, r) for p in (0.05, 0.5, 0.9) for r in (0.0, 0.5, 0.9)
    }
    laws |= {f"scores, differences within {s:g}": scores(0.0, s) for s in (1.0, 0.1)}
    laws |= {
        "seldom -1, else +0.05": seldom(-1.0, 0.05),
        "seldom +1, else -0.05": seldom(1.0, -0.05),
        "seldom -0.5, else +0.005": seldom(-0.5, 0.005),
    }
    return laws


def truths() -> dict[str, Law]:
    """Policies that differ; the intervals have to hold the difference."""
    laws = {f"successes, difference {d:g} of {p:g}": successes(d, p) for d, p in ((0.1, 0.3), (0.3, 0.3), (-0.5, 0.6))}
    laws |= {"scores, difference 0.2": scores(0.2, 0.8), "scores, difference -0.6": scores(-0.6, 0.3)}
    return laws


def draw(law: Law, sequences: int, pairs: int) -> Iterator[np.ndarray]:
    """Sequences of differences, some at a time."""
    rng = np.random.default_rng(SEED)
    for start in range(0, sequences, AT_ONCE):
        yield rng.choice(law[0], p=law[1], size=(min(AT_ONCE, sequences - start), pairs))


def ever_excluded(differences: np.ndarray, mean: float) -> np.ndarray:
    """Whether any look excludes a mean."""
    capital = np.maximum(log_capital(differences, mean), log_capital(-differences, -mean))
    return np.any(capital >= math.log(2 / ALPHA), axis=1)


def ever_significant(differences: np.ndarray) -> np.ndarray:
    """Whether McNemar's exact test is significant at any look from the tenth pair on."""
    ahead, behind = (differences > 0).cumsum(1), (differences < 0).cumsum(1)
    least = np.append(1, mcnemar_least(differences.shape[1]))
    return np.any((np.maximum(ahead, behind) >= least[ahead + behind])[:, FIRST_LOOK - 1 :], axis=1)


def mcnemar_least(most: int) -> np.ndarray:
    """How many of k = 1 .. most discordant pairs one policy has to win, for McNemar's exact test."""
    return binom.isf(ALPHA / 2, np.arange(1, most + 1), 0.5).astype(int) + 1


def rate(hits: np.ndarray) -> dict[str, float]:
    """A share with its exact interval."""
    estimate = clopper_pearson(int(hits.sum()), len(hits))
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def count_errors(laws: dict[str, Law], sequences: int, pairs: int) -> list[dict[str, Any]]:
    """How often the true mean of each law is ever excluded."""
    rows = []
    for name, law in laws.items():
        mean, is_success = float(law[0] @ law[1]), set(law[0]) <= {-1.0, 0.0, 1.0}
        drawn = list(draw(law, sequences, pairs))
        row: dict[str, Any] = {"law": name, "mean": mean}
        row["ever_excluded"] = rate(np.concatenate([ever_excluded(some, mean) for some in drawn]))
        if is_success and mean == 0:
            row["mcnemar_at_every_look"] = rate(np.concatenate([ever_significant(some) for some in drawn]))
        rows.append(row)
    return rows


def least_wins(most: int) -> np.ndarray:
    """How many of k = 1 .. most discordant pairs one policy has to win, for the verdict."""
    least = np.empty(most, int)
    with np.errstate(divide="ignore"):
        won, lost = np.log1p(BETS), np.log1p(-BETS)
    for k in range(1, most + 1):
        wins = np.arange(k // 2, k + 1)[:, None]
        losses = np.where(k - wins > 0, (k - wins) * np.maximum(lost, -1e9), 0.0)
        capital = np.exp((wins * won + losses).clip(max=700)) @ SHARES
        enough = np.flatnonzero(capital >= 2 / ALPHA)
        least[k - 1] = wins[enough[0], 0] if len(enough) else k + 1
    return least


def undecided(least: np.ndarray, win: float) -> np.ndarray:
    """Probability of no verdict within k = 0, 1, ... discordant pairs, each won by B with probability ``win``."""
    alive, probabilities = np.array([1.0]), [1.0]
    for k, needed in enumerate(least.tolist(), start=1):
        alive = np.append(alive * (1 - win), 0.0) + np.insert(alive * win, 0, 0.0)  # by the number that B has won
        wins = np.arange(k + 1)
        alive[(wins >= needed) | (k - wins >= needed)] = 0.0
        probabilities.append(alive.sum())
    return np.array(probabilities)


def over_pairs(by_discordant: np.ndarray, discordant: float, pairs: int) -> np.ndarray:
    """What depends on the number of discordant pairs, in the mean within 0, 1, ... pairs."""
    k = np.arange(len(by_discordant))
    return np.array([binom.pmf(k, n, discordant) @ by_discordant for n in range(pairs + 1)])


def mcnemar_size(difference: float, discordant: float, power: float) -> int:
    """Fewest pairs at which McNemar's exact test has the power."""
    pairs = math.ceil(20 * discordant / difference**2) + 50
    least, k = mcnemar_least(pairs), np.arange(1, pairs + 1)
    win = (discordant + difference) / 2 / discordant
    significant = np.append(0.0, binom.sf(least - 1, k, win) + binom.cdf(k - least, k, win))
    return int(np.flatnonzero(over_pairs(significant, discordant, pairs) >= power)[0])


def count_episodes(difference: float, discordant: float) -> list[dict[str, Any]]:
    """Pairs until the verdict at each power, beside the size of the fixed test."""
    fixed = [mcnemar_size(difference, discordant, power) for power in POWERS]
    pairs = 2 * fixed[-1] + 50
    most = math.ceil(pairs * discordant + 6 * math.sqrt(pairs * discordant)) + 10
    win = (discordant + difference) / 2 / discordant
    open_after = over_pairs(undecided(least_wins(most), win), discordant, pairs)
    rows = []
    for power, size in zip(POWERS, fixed, strict=True):
        allowed = int(np.flatnonzero(open_after <= 1 - power)[0])
        expected = float(open_after[:allowed].sum())
        batches = float(open_after[:allowed:BATCH].sum() * BATCH)
        rows.append(
            {
                "difference": difference,
                "discordant": discordant,
                "power": power,
                "mcnemar": size,
                "allowed": allowed,
                "expected": expected,
                "expected_in_batches": batches,
                "share": expected / size,
            }
        )
    return rows


def show(numbers: dict[str, Any]) -> None:
    """Print tables for the page of results."""
    errors = [
        [row["law"], *(interval(row[key]) if key in row else "" for key in ("ever_excluded", "mcnemar_at_every_look"))]
        for row in (*numbers["nulls"], *numbers["truths"])
    ]
    print("\n".join(table(("differences", "ever excludes the truth", "McNemar at every look"), errors)), "\n")
    episodes = [
        [
            f"{row['difference']:g}",
            f"{row['discordant']:g}",
            f"{row['power']:g}",
            f"{row['mcnemar']}",
            f"{row['expected']:.0f}",
            f"{row['share']:.2f}",
            f"{row['allowed']}",
            f"{row['expected_in_batches']:.0f}",
        ]
        for row in numbers["episodes"]
    ]
    header = ("difference", "discordant", "power", "McNemar", "expected", "share", "at most", f"in batches of {BATCH}")
    print("\n".join(table(header, episodes)))


def main() -> None:
    """Count, write and show."""
    cfg = options(__doc__).parse_args()
    sequences, pairs = (20, 30) if cfg.dry_run else (SEQUENCES, PAIRS)
    effects = (0.3,) if cfg.dry_run else EFFECTS
    cells = [(d, round(d * f, 3)) for d in effects for f in DISCORDANT if d * f <= 1]
    numbers = {
        "nulls": count_errors(nulls(), sequences, pairs),
        "truths": count_errors(truths(), sequences, pairs),
        "episodes": [row for cell in cells for row in count_episodes(*cell)],
    }
    keep(cfg.out, {"alpha": ALPHA, "sequences": sequences, "pairs": pairs, "seed": SEED, **numbers})
    show(numbers)


if __name__ == "__main__":
    with user_errors():
        main()
