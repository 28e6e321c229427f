"""Results in one file stand for the units that are not there, and the published ones give the published page."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from robolearn.bench.comparison import KEPT, OUT
from robolearn.bench.expert import FILE, ROUNDS, ask_expert, expert_rounds
from robolearn.bench.gather import gather
from robolearn.bench.kept import pack, read_kept
from robolearn.bench.results import write_results
from robolearn.bench.rows import ROWS as ALL_ROWS
from robolearn.bench.rows import TASKS
from robolearn.bench.triangle import make_units
from robolearn.bench.unit import Unit
from robolearn.config import write_json
from tests.bench.tiny import FLOW, REGRESSION, ROWS, TASK, measured, result

ROOT = Path(__file__).parents[2]
FULL = {"euler-5": measured(np.ones((2, 3)), nfe=5), "euler-1": measured(np.zeros((2, 3)))}


@pytest.fixture
def packed(tmp_path):
    """A file with two seeds of flow and the expert, and the runs that it was made of."""
    runs = tmp_path / "old"
    for seed in (0, 1):
        unit = Unit(TASK, FLOW, "compute", seed, runs)
        unit.begin()
        unit.write(result(FULL, cpu_s=100 + seed))
        (unit.directory / "seconds.json").write_text("{}")  # not of the small files
    parts = {"evaluation": (2, 3), "selection": (2, 3)}
    rounds = [
        {part: {name: np.ones(shape, int).tolist() for name in ("success", "mode")} for part, shape in parts.items()}
    ]
    write_json(runs / TASK.name / FILE, rounds * ROUNDS)
    assert pack(tmp_path / "kept.json.xz", runs, {}) == 5
    return tmp_path / "kept.json.xz", runs


def test_kept_results_stand_for_those_that_are_not_there(tmp_path, packed):
    kept, new = read_kept(packed[0]), tmp_path / "new"
    assert gather([TASK], ROWS, new, kept) == gather([TASK], ROWS, packed[1])
    assert gather([TASK], ROWS, new) == []
    assert expert_rounds(TASK, new, kept) == expert_rounds(TASK, packed[1])
    assert [unit.missing() for unit in make_units([TASK], ROWS, ["compute"], [0], new, kept)] == [["default"], []]
    ask_expert(TASK, tmp_path / "no demonstrations", new, kept)  # there is nothing to ask
    assert not new.exists()


def test_new_units_are_written_beside_and_come_first(tmp_path, packed):
    kept, new = read_kept(packed[0]), tmp_path / "new"
    for row, seed, settings in ((REGRESSION, 0, {"default": measured(np.ones((2, 3)))}), (FLOW, 1, FULL)):
        unit = Unit(TASK, row, "compute", seed, new, kept)
        unit.begin()
        unit.write(result(settings, cpu_s=300))
    entries = {entry.row: entry for entry in gather([TASK], ROWS, new, kept)[0].entries}
    assert (entries["regression"].seeds, entries["flow"].seeds) == ((0,), (0, 1))
    assert entries["flow"].cpu_s == 200  # of 100, kept, and 300
    assert pack(packed[0], new, kept) == 7
    assert gather([TASK], ROWS, tmp_path / "newer", read_kept(packed[0])) == gather([TASK], ROWS, new, kept)


def test_packing_again_changes_no_byte(tmp_path, packed):
    before = packed[0].read_bytes()
    pack(packed[0], tmp_path / "none", read_kept(packed[0]))
    assert packed[0].read_bytes() == before


def test_kept_results_of_other_options_are_refused(tmp_path, packed):
    other = dataclasses.replace(TASK, train=dataclasses.replace(TASK.train, lr=0.5))
    with pytest.raises(ValueError, match=r"tiny/flow/compute/0.* was trained with other options"):
        gather([other], ROWS, tmp_path / "new", read_kept(packed[0]))


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "kept.json.xz").write_bytes(b"no stream")
    with pytest.raises(ValueError, match=r"kept\.json\.xz: no kept results"):
        read_kept(tmp_path / "kept.json.xz")
    with pytest.raises(ValueError, match=r"none\.json\.xz: no such file"):
        read_kept(tmp_path / "none.json.xz")


@pytest.mark.slow
def test_the_published_triangle_is_what_its_raw_results_give(tmp_path):
    write_results(tmp_path / OUT.name, TASKS, ALL_ROWS, tmp_path / "runs", read_kept(ROOT / KEPT))
    for suffix in (".json", ".md"):
        assert (tmp_path / (OUT.name + suffix)).read_text() == (ROOT / OUT).with_suffix(suffix).read_text()
