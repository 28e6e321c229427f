"""The mean of few numbers, such as those of three trainings, whose spread is hardly known.

A bootstrap of three numbers never reaches beyond them, and holds the mean they were drawn around in 75 % of all cases.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from robolearn.stats.value import CONFIDENCE, Estimate


def student_mean(values: Float[np.ndarray, " n"]) -> Estimate:
    """Mean with Student's interval; of a single number it is infinitely wide.

        student_mean(np.array([0.7, 0.8, 0.9]))  # 0.800 [0.552, 1.048]

    Args:
        values: Drawn independently, and about normal: the interval does not know that a share ends at 1.

    Source: Student 1908, The probable error of a mean.
    """
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Estimate(mean, -math.inf, math.inf, 1)
    reach = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * float(values.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - reach, mean + reach, n)
