"""The study of pre-training: equal compute, what stands beside what, and parts that are not made again."""

import gymnasium
import numpy as np
import pytest

from benchmarks.avoid_told import ID
from benchmarks.common import keep_part, kept_parts, part
from benchmarks.lecture import targets
from benchmarks.pretraining.__main__ import rows_with_best
from benchmarks.pretraining.compute import Budget
from benchmarks.pretraining.contrasts import best_method, judged_gain
from benchmarks.pretraining.study import IMAGENET, SCRATCH, SHORT, TOLD, rows_of, trainings_of
from benchmarks.pretraining.table import rows_table
from benchmarks.pretraining.told import told_store
from benchmarks.trainings import gain
from robolearn.data.collect import collect
from robolearn.data.store import DemoStore
from robolearn.representation.registry import METHODS

STEP_S = {"policy": 0.06, "frozen": 0.02, "imagenet": 1.5, "autoencoder": 0.05, "vae": 0.055, "contrastive": 0.08}
BUDGET = Budget(12_000, {**STEP_S, "masked": 0.052})


def test_all_rows_cost_the_same():
    """But for the rounding to tens, of steps that cost as much as these, and for the one that is short on purpose."""
    whole = 12_000 * STEP_S["policy"]
    for row in rows_of("vae", None, fewest=True):
        kind = "frozen" if row.freeze else "policy"
        spent = BUDGET.policy(row) * STEP_S[kind]
        if row.method is not None:
            assert BUDGET.policy(row) != 12_000
            spent += BUDGET.pretraining(row.method) * BUDGET.step_s[row.method]
        assert spent == pytest.approx(whole * (2 / 3 if row == SHORT else 1), abs=1.0), row.name
    assert BUDGET.policy(IMAGENET) * STEP_S["imagenet"] == pytest.approx(whole, abs=5 * STEP_S["imagenet"])


def test_a_control_has_the_steps_of_the_pretrained():
    """So that a gain is not that of learning few demonstrations less by heart."""
    best = rows_of("vae", None, fewest=False)[-1]
    assert BUDGET.policy(SHORT) == BUDGET.policy(best) == 8_000


def test_all_is_compared_with_the_fewest_and_what_is_judged_with_more():
    few, more = ([row.name for row in rows_of("vae", None, fewest=fewest)] for fewest in (True, False))
    assert few == ["scratch", "short", *(f"{m}/all" for m in METHODS), "vae/same", "frozen"]
    assert more == ["scratch", "short", "vae/all"]
    frozen = rows_of("vae", None, fewest=True)[-1]
    assert (frozen.method, frozen.freeze, frozen.whole) == ("vae", True, True)


def test_what_depends_on_the_best_method_is_measured_when_it_is_known():
    for fewest in (True, False):
        before, behind = rows_of(None, None, fewest=fewest), rows_with_best("vae", None, fewest=fewest)
        names = [row.name for row in before] + [row.name for row in behind]
        assert set(names) == {row.name for row in rows_of("vae", None, fewest=fewest)}
        known = {row.name: trainings_of(row, fewest=fewest) for row in (*before, *behind)}
        assert len(known["vae/all"]) == len(known["scratch"]) == (5 if fewest else 3)
    assert [row.name for row in behind] == ["vae/all"]


def kept(gain, method="vae", seeds=5, starts=200):
    """Parts of AvoidPixels: `method` is probed best, and gains so much with the fewest demonstrations."""
    parts = {}
    for seed in range(seeds):
        for name in ("untrained", *METHODS):
            parts[f"avoid_pixels/probe/{name}/{seed}"] = {"r2": [0.9 if name == method else 0.5] * 2}
        for row, rate in ((SCRATCH.name, 0.4), (SHORT.name, 0.45), (f"{method}/all", 0.4 + gain)):
            success = [(np.random.default_rng(seed).random(starts) < rate).tolist()]
            facts = {"steps": 8, "pretraining_steps": 4, "r2": [0.5], "seed": seed}
            parts[f"avoid_pixels/10%/{row}/{seed}"] = {"episodes": {"success": success}, **facts}
    return parts


def parts_of(parts):
    return {f"pretraining/{name}": part for name, part in parts.items()}


def test_the_best_method_is_judged_when_all_of_its_trainings_are_there():
    parts = kept(0.2)
    best, gained = judged_gain(parts)
    assert best == best_method(parts, "avoid_pixels") == "vae"
    assert gained.value == pytest.approx(0.2, abs=0.03)
    assert gained.outcome(0.0, strict=True) == "shown"
    assert [row[-1] for row in targets(parts_of(parts))] == ["shown", gained.outcome(0.1)]
    line = next(line for line in rows_table(parts) if "| vae/all |" in line)
    assert line.count("[") == 3  # success, and what is gained over both controls
    for missing in ("10%/vae/all/4", "10%/scratch/0", "probe/masked/2"):
        assert judged_gain({name: part for name, part in parts.items() if not name.endswith(missing)}) is None


def test_what_sees_no_images_stands_beside_the_others():
    parts = kept(0.2)
    success = [np.ones(200, bool).tolist()]
    for seed in range(5):
        facts = {"steps": 12, "pretraining_steps": 0, "seed": seed}
        parts[f"avoid_pixels/10%/{TOLD.name}/{seed}"] = {"episodes": {"success": success}, **facts}
    (line,) = (line for line in rows_table(parts) if "| told |" in line)
    assert "| told | 5 | 0 + 12 | 1.000 [" in line
    assert line.endswith("|  |")  # of no network


def test_rows_are_told_as_they_are_seen(tmp_path):
    """By the environment and by demonstrations of the same seed."""
    demos, env = tmp_path / "demos.zarr", gymnasium.make(ID)
    collect("envs:robolearn/AvoidPixels-v0", 2, demos, seed=3)
    store = DemoStore.open(told_store(demos, tmp_path))
    for index, seed in enumerate(store.episode_attrs["seed"]):
        obs, _ = env.reset(seed=int(seed))
        assert obs.keys() == store.episode(index).obs.keys() == {"state", "rows"}
        for key, value in obs.items():
            np.testing.assert_allclose(store.episode(index).obs[key][0], value, atol=1e-6)
    env.close()


def test_dry_parts_are_nothing():
    parts = kept(0.2)
    parts["avoid_pixels/probe/masked/0"]["dry_run"] = True
    assert best_method(parts, "avoid_pixels") is None


def episodes_of(success):
    return {"episodes": {"success": success.tolist()}}


def test_a_gain_is_paired_by_seed_and_start():
    """What both do alike has no part in the interval, however differently it goes from start to start."""
    scratch = np.arange(120).reshape(3, 40) % 2 == 0
    better = scratch | (np.arange(40) % 4 == 1)
    estimate = gain("success", episodes_of(better), episodes_of(scratch))
    assert estimate.value == pytest.approx(0.25)
    assert estimate.low > 0
    fewer = gain("success", episodes_of(better[:2]), episodes_of(scratch))
    assert (fewer.value, fewer.n) == (estimate.value, 80)


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
