"""The study of padding and learning rates: what its rules decide, and that every kind of unit runs."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.padding_and_rates import page
from benchmarks.padding_and_rates.page import decide_padding, decide_rates, read
from benchmarks.padding_and_rates.units import Size, make_units, read_units
from tests.conftest import ROOT


@pytest.fixture
def write(tmp_path):
    """Units whose success has these chances; the same draws for all choices, so that pairs differ little."""

    def write(chance):
        path = tmp_path / "units.jsonl"
        with path.open("w") as file:
            for unit in make_units(Size()):
                draws = np.random.default_rng([unit.seed, len(unit.task)]).random(240)
                success = (draws < chance(unit)).astype(int).tolist()
                file.write(json.dumps({"unit": unit.name, "size": 0, "success": success}) + "\n")
            file.write('{"unit": "cut')
        return path

    return write


@pytest.mark.parametrize(
    ("gains", "default"),
    [
        ({}, "masked"),  # no difference
        ({"flow": 0.1, "diffusion": 0.1, "score": 0.1}, "held"),
        ({"flow": 0.3, "diffusion": 0.3, "score": -0.1}, "masked"),  # better on the whole, but it harms one
        ({"flow": -0.1, "diffusion": -0.1, "score": -0.1}, "masked"),
    ],
)
def test_padding_counts_only_where_it_helps_and_harms_none(write, gains, default):
    path = write(lambda unit: 0.5 + gains.get(unit.model, 0.0) * (unit.choice == "held"))
    decision = decide_padding(read([path])[0])
    assert decision["default"] == default
    assert decision["models"]["flow"]["tasks"]["push"]["seeds"] == [0, 1, 2, 3, 4]


def test_a_rate_changes_only_where_the_gain_is_shown(write):
    better = {"unet": {"3e-4": 0.2, "1e-4": 0.1}, "lstm": {"1e-4": -0.2}}
    path = write(lambda unit: 0.5 + better.get(unit.model, {}).get(unit.choice, 0.0))
    models = decide_rates(read([path])[0])["models"]
    assert {model: row["default"] for model, row in models.items()} == {
        "mlp": "1e-3",
        "unet": "3e-4",
        "transformer": "1e-3",
        "lstm": "1e-3",
    }
    assert models["lstm"]["together"]["1e-4"]["verdict"] == "missed"


@pytest.mark.slow
def test_a_dry_run_trains_and_rolls_out_every_kind_of_unit(tmp_path):
    script = [sys.executable, "-m", "benchmarks.padding_and_rates", "run", "--out", str(tmp_path), "--dry-run"]
    script += ["--device", "cpu"]
    chosen = ["--units", "padding/push/*", "rates/insert/*/1e-4/*"]
    for command in ([*script, *chosen, "--part", "1/2"], [*script, *chosen]):
        subprocess.run(command, cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    units = [unit["unit"] for unit in read_units(tmp_path / "units.jsonl")]
    assert len(units) == len(set(units)) == 10


def test_the_published_page_is_what_its_episodes_give(tmp_path):
    published = ROOT / "docs" / "results" / "training.json"
    page.write([published], tmp_path / "training")
    assert (tmp_path / "training.json").read_text() == published.read_text()
    assert (tmp_path / "training.md").read_text() == published.with_suffix(".md").read_text()
