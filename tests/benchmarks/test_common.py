"""What the measurements share: parts of a file."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from benchmarks.common import DRY_RUN, keep_part, kept_parts, options, parsed, part
from robolearn.errors import UserError

WRITERS, PARTS = 4, 5


def write(out, writer):
    for number in range(PARTS):
        keep_part(out, f"{writer}/{number}", {"value": number})


def test_measurements_that_run_at_once_lose_no_part(tmp_path):
    out = tmp_path / "out.json"
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(partial(write, out), range(WRITERS)))
    assert sorted(kept_parts(out)) == sorted(f"{w}/{n}" for w in range(WRITERS) for n in range(PARTS))


def test_a_part_is_made_again_only_where_something_else_is_asked(tmp_path):
    made = []

    def make():
        made.append(len(made))
        return {"value": made[-1]}

    out = tmp_path / "out.json.xz"
    for asked in ({"seeds": [0]}, {"seeds": [0]}, {"seeds": [0, 1]}, {"seeds": [0, 1]}):
        kept = part(out, "name", make, asked)
    assert made == [0, 1]
    assert (kept["value"], kept_parts(out)["name"]["seeds"]) == (1, [0, 1])


@pytest.fixture
def dry(monkeypatch):
    """Gives and takes the flag of the running command."""

    def give(is_dry):
        monkeypatch.setattr(sys, "argv", ["command", *([DRY_RUN] if is_dry else [])])

    return give


def test_what_a_dry_run_left_is_no_result(tmp_path, dry):
    out, made = tmp_path / "out.json", iter(range(9))
    for is_dry, value in ((True, 0), (True, 0), (False, 1), (False, 1)):
        dry(is_dry)
        assert part(out, "name", lambda: {"value": next(made)}, {"seeds": [0]})["value"] == value


def test_a_dry_run_does_not_take_the_place_of_results(tmp_path, dry):
    out = tmp_path / "out.json"
    dry(False)
    keep_part(out, "name", {"value": 1})
    dry(True)
    with pytest.raises(UserError, match="holds results; give a dry run another --out"):
        keep_part(out, "name", {"value": 2})
    assert kept_parts(out)["name"]["value"] == 1


@pytest.mark.parametrize(("is_dry", "folder"), [(True, "work/dry"), (False, "work")])
def test_a_dry_run_has_a_folder_of_its_own(dry, is_dry, folder):
    dry(is_dry)
    parser = options("")
    parser.add_argument("--work", type=Path, default=Path("work"))
    assert parsed(parser).work == Path(folder)
