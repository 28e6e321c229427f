"""What translation regains is beside the middle of what the look costs, and labels are kept where they are read."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lecture import page, targets
from benchmarks.tables import parts_below
from benchmarks.translation.__main__ import rows_with
from benchmarks.translation.contrasts import labels_of, minus, successes
from benchmarks.translation.study import CONFIRMED, JUDGED, LABELS, PART, ROWS, WAYS, Study, check, trainings_of
from robolearn import seeds
from robolearn.errors import UserError

FACTS = {"command": "python -m benchmarks.translation", "commit": "c", "hardware": "h"}
RATES = {"plain": 0.9, "lost": 0.1, "jitter": 0.3, "jitter-plain": 0.8, "real": 0.9, JUDGED: 0.6, "cut/eyes": 0.4}


def kept(rates=RATES, episodes=200):
    """Parts as a study keeps them: all rows meet the same chances, and later trainings are a little better."""
    parts = {}
    for row, rate in rates.items():
        for seed in trainings_of(row):
            success = np.random.default_rng(seed).random(episodes) < rate + 0.005 * seed
            parts[f"{PART}/{row}/{seed}"] = {"episodes": {"success": [success.tolist()]}, **FACTS}
    return parts


def read(recorded, translated, row="cut/labels"):
    """Correlations of three rows of obstacles, the same for each training."""
    told = {"recorded": recorded, "translated": translated}
    way = {kind: {"correlation": values, "explained": np.square(values).tolist()} for kind, values in told.items()}
    return {f"{PART}/{row}/{seed}": dict.fromkeys(WAYS, way) | FACTS for seed in trainings_of(row)}


def below(parts):
    return parts_below(parts, PART)


def test_half_is_the_middle_of_plain_and_lost():
    success = successes(below(kept()))
    assert minus(success, JUDGED, "plain", "lost").value == pytest.approx(0.1, abs=0.05)
    assert minus(success, "cut/eyes", "plain", "lost").value == pytest.approx(-0.1, abs=0.05)
    assert minus(success, JUDGED, "jitter").value == pytest.approx(0.3, abs=0.05)
    assert minus(success, JUDGED, "cut/demos") is None


def test_rows_are_compared_in_the_trainings_that_they_share():
    success = successes(below(kept()))
    assert minus(success, JUDGED, "jitter").n == 5 * 200
    assert minus(success, "cut/eyes", "jitter").n == 3 * 200
    only = {**success, "cut/eyes": {"2": success["cut/eyes"]["2"]}, "jitter": {"1": success["jitter"]["1"]}}
    assert minus(only, "cut/eyes", "jitter") is None
    apart = [f"{PART}/plain/0", f"{PART}/lost/1"]
    parts = {name: part for name, part in kept().items() if name in apart}
    assert any("| plain | 1 |" in line for line in page(parts))


@pytest.mark.parametrize(
    ("rate", "verdicts"), [(0.8, ["shown", "shown"]), (0.3, ["missed", "not shown"]), (0.15, ["missed", "missed"])]
)
def test_one_row_is_judged(rate, verdicts):
    rows = list(targets(kept({**RATES, JUDGED: rate, "cut/eyes": 0.9})))
    assert [row[-1] for row in rows] == verdicts
    assert all(JUDGED in row[0] for row in rows)


def test_where_the_look_costs_little_there_is_nothing_to_regain():
    first, _ = targets(kept({**RATES, "lost": 0.8, JUDGED: 0.9}))
    assert first[-1] == "nothing to regain"


@pytest.mark.parametrize("row", ["plain", "lost", "jitter", JUDGED])
def test_nothing_is_judged_before_all_of_its_trainings_are_there(row):
    parts = kept()
    assert len(list(targets(parts))) == 2
    parts[f"{PART}/{row}/4"]["dry_run"] = True
    assert list(targets(parts)) == []
    assert any("cut/eyes" in line for line in page(parts))


@pytest.mark.parametrize(
    ("recorded", "translated", "said"),
    [
        ([0.95] * 3, [0.9] * 3, "shown"),
        ([0.95] * 3, [1.0, 1.0, 0.8], "missed"),  # one row is told by two others
        ([1.0, 1.0, 0.85], [0.9] * 3, None),  # who cannot read recorded images does not know
        ([0.95] * 3, [0.9, 0.9, float("nan")], "missed"),
        ([0.95, 0.95, float("nan")], [0.9] * 3, None),
    ],
)
def test_labels_are_kept_where_every_row_is_read_nearly_as_well(recorded, translated, said):
    parts = read(recorded, translated) | read(recorded, translated, LABELS)
    by_way = labels_of(below(parts), "cut")
    assert {way: labels.kept for way, labels in by_way.items()} == dict.fromkeys(WAYS, said)
    shown = next(line for line in page(kept() | parts) if line.startswith("| cut | to real"))
    assert shown.endswith(f"| {said or 'cannot be told'} |")
    assert [row[-1] for row in targets(parts)] == [said or "cannot be told"]
    del parts[f"{PART}/{LABELS}/4"]
    assert list(targets(parts)) == []


def test_the_seed_for_tuning_rolls_nothing_out():
    (tuning,) = seeds.TUNING
    assert rows_with(tuning, ["cut/labels"]) == ["cut/labels"]
    for seed, rows in ((tuning, ["cut/labels", "plain"]), (7, ["plain"])):
        with pytest.raises(UserError, match=f"seed {seed} is for none of these rows; choose from 0, 1, 2, 3, 4"):
            rows_with(seed, rows)
    assert rows_with(CONFIRMED[-1], ROWS) == [row for row in ROWS if trainings_of(row) == CONFIRMED]
    assert {JUDGED, LABELS, "plain", "lost", "jitter"} < set(rows_with(CONFIRMED[-1], ROWS))


class Store:
    def __init__(self, kwargs, starts):
        self.path, self.attrs, self.episode_attrs = "a.zarr", self, {"seed": np.array(starts)}
        self.env_kwargs = kwargs


@pytest.mark.parametrize(
    ("plain", "real", "message"),
    [
        (({}, [0, 1]), ({}, [50_000]), "a.zarr: is no store of real images"),
        (({"look": "real"}, [0, 1]), ({"look": "real"}, [50_000]), "a.zarr: is no store of plain images"),
        (({}, [0, 1]), ({"look": "real"}, [1, 2]), "episodes of the stores begin alike"),
        (({}, [0, 1]), ({"look": "real"}, [seeds.EVALUATION.start]), "or where policies are evaluated"),
    ],
)
def test_stores_that_would_spoil_the_study_are_refused(plain, real, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check({"plain": Store(*plain), "real": Store(*real)})
    check({"plain": Store({}, [0, 1]), "real": Store({"look": "real"}, [50_000])})


def test_a_part_is_asked_for_with_all_that_it_depends_on(monkeypatch):
    monkeypatch.setattr(Study, "images", {"plain": "p", "real": "r"})
    study = Study(Path("p"), Path("r"), Path("w"), None, 0, dry=False)
    asked = [study.asked(row) for row in ("plain", "jitter", "cut/demos", "cyclegan/demos", "cut/labels")]
    assert all(asked.count(one) == 1 for one in asked)
    assert asked[2]["method"]["nce_weight"] == 1.0
    assert asked[1]["hue"] == 0.5
