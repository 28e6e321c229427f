"""The study of pre-training: equal compute, what stands beside what, and parts that are not made again."""

import numpy as np
import pytest

from benchmarks.common import keep_part, kept_parts, part
from benchmarks.pretraining.compute import Budget
from benchmarks.pretraining.measures import gain
from benchmarks.pretraining.study import IMAGENET, SCRATCH, rows_of
from robolearn.representation.registry import METHODS

STEP_S = {"policy": 0.06, "frozen": 0.02, "imagenet": 1.5, "autoencoder": 0.05, "vae": 0.055, "contrastive": 0.08}
BUDGET = Budget(12_000, {**STEP_S, "masked": 0.052})


@pytest.mark.parametrize("fraction", [0.1, 1.0])
def test_all_rows_cost_the_same(fraction):
    """But for the rounding to tens, of steps that cost as much as these."""
    whole = 12_000 * STEP_S["policy"]
    for row in rows_of(fraction, "vae", None):
        kind = "frozen" if row.freeze else "policy"
        spent = BUDGET.policy(row) * STEP_S[kind]
        if row != SCRATCH:
            assert BUDGET.policy(row) != 12_000
            spent += BUDGET.pretraining(row.method) * BUDGET.step_s[row.method]
        assert spent == pytest.approx(whole, abs=1.0), row.name
    assert BUDGET.policy(IMAGENET) * STEP_S["imagenet"] == pytest.approx(whole, abs=5 * STEP_S["imagenet"])


def test_every_method_is_tried_on_all_images_and_on_those_of_the_policy():
    few, all_of_them = ([row.name for row in rows_of(share, "vae", None)] for share in (0.1, 1.0))
    assert few == ["scratch", *(f"{m}/all" for m in METHODS), *(f"{m}/same" for m in METHODS), "frozen"]
    assert all_of_them == ["scratch", *(f"{m}/all" for m in METHODS), "frozen"]
    frozen = rows_of(0.1, "vae", None)[-1]
    assert (frozen.method, frozen.freeze, frozen.whole) == ("vae", True, True)


def test_a_gain_is_paired_by_seed_and_start():
    """What both do alike has no part in the interval, however differently it goes from start to start."""
    scratch = np.arange(120).reshape(3, 40) % 2 == 0
    better = scratch | (np.arange(40) % 4 == 1)
    one, other = ({"episodes": {"success": each.tolist()}} for each in (better, scratch))
    found, same = gain("success", one, other), gain("success", other, other)
    assert found.value == pytest.approx(0.25)
    assert found.low > 0
    assert (same.value, same.low, same.high) == (0, 0, 0)


@pytest.mark.parametrize("name", ["out.json", "out.json.xz"])
def test_a_part_is_made_once(tmp_path, name):
    out, made = tmp_path / name, []

    def make():
        made.append(len(made))
        return {"value": len(made)}

    first = part(out, "task/a", make, {"seeds": (0, 1)})
    keep_part(out, "task/b", {"value": 7})
    again = part(out, "task/a", make, {"seeds": (0, 1)})
    assert (first["value"], again["value"], made) == (1, 1, [0])
    assert part(out, "task/a", make, {"seeds": (0, 2)})["value"] == 2
    kept = kept_parts(out)
    assert (kept["task/a"]["seeds"], kept["task/b"]["value"]) == ([0, 2], 7)
    assert "command" in kept["task/b"]  # how it was measured
