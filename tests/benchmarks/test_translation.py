"""What translation regains is beside the middle of what the look costs, and labels are kept where they are read."""

import numpy as np
import pytest

from benchmarks.lecture import page, targets
from benchmarks.tables import parts_below
from benchmarks.translation.contrasts import labels_of, regained, successes
from benchmarks.translation.study import JUDGED, ROWS, SEEDS, WAYS

FACTS = {"command": "python -m benchmarks.translation", "commit": "c", "hardware": "h"}
RATES = {"plain": 0.9, "lost": 0.1, "jitter": 0.3, "real": 0.9, JUDGED: 0.6, "cut/eyes": 0.4}


def kept(rates=RATES, episodes=200):
    """Parts as a study keeps them; every third training is 1 % better than the first."""
    parts = {}
    for row, rate in rates.items():
        for number, seed in enumerate(SEEDS):
            success = np.random.default_rng(number).random(episodes) < rate + 0.005 * number
            parts[f"translation/{row}/{seed}"] = {"episodes": {"success": [success.tolist()]}, **FACTS}
    return parts


def read(recorded, translated):
    way = {
        kind: {"correlation": [value] * 3, "explained": [value**2] * 3}
        for kind, value in (("recorded", recorded), ("translated", translated))
    }
    return {f"translation/cut/labels/{seed}": dict.fromkeys(WAYS, way) | FACTS for seed in SEEDS}


def test_half_is_the_middle_of_plain_and_lost():
    gains = regained(successes(parts_below(kept(), "translation")))
    assert set(gains) == {"jitter", "real", JUDGED, "cut/eyes"}
    assert gains[JUDGED].half.value == pytest.approx(0.1, abs=0.06)
    assert gains["cut/eyes"].half.value == pytest.approx(-0.1, abs=0.06)
    assert gains[JUDGED].beyond.value == pytest.approx(0.3, abs=0.06)
    assert gains["jitter"].beyond.value == 0


@pytest.mark.parametrize(
    ("rate", "verdicts"), [(0.8, ["shown", "shown"]), (0.3, ["missed", "not shown"]), (0.15, ["missed", "missed"])]
)
def test_one_row_is_judged(rate, verdicts):
    rows = list(targets(kept({**RATES, JUDGED: rate, "cut/eyes": 0.9})))
    assert [row[-1] for row in rows] == verdicts
    assert all(JUDGED in row[0] for row in rows)


def test_nothing_is_judged_while_a_control_is_missing():
    parts = kept({row: rate for row, rate in RATES.items() if row != "lost"})
    assert list(targets(parts)) == []
    assert any("cut/eyes" in line for line in page(parts))


def test_rows_are_compared_in_the_trainings_that_all_have():
    parts = parts_below(kept(), "translation")
    del parts[f"cut/eyes/{SEEDS[0]}"]
    assert {each.shape for each in successes(parts).values()} == {(2, 200)}
    assert list(targets({f"translation/{name}": part for name, part in parts.items()})) == []


@pytest.mark.parametrize(("recorded", "translated", "said"), [(0.95, 0.9, True), (0.95, 0.8, False), (0.8, 0.8, None)])
def test_labels_are_kept_where_translations_are_read_nearly_as_well(recorded, translated, said):
    """Who cannot read recorded images does not know."""
    found = labels_of(parts_below(read(recorded, translated), "translation"), "cut")
    assert {way: labels.kept for way, labels in found.items()} == dict.fromkeys(WAYS, said)
    shown = next(line for line in page(kept() | read(recorded, translated)) if line.startswith("| cut | to real"))
    assert shown.endswith({True: "yes |", False: "no |", None: "cannot be told |"}[said])


def test_every_row_can_be_asked_for():
    assert len(set(ROWS)) == len(ROWS)
    assert JUDGED in ROWS
