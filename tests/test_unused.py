"""A directory is free until something is begun in it; what a kill leaves of a beginning is in nobody's way."""

import pytest

from robolearn.files import BEGUN, COMPLETE
from robolearn.locks import LOCK_FILE
from robolearn.planning.config import PlanConfig
from robolearn.planning.directory import PlanRun
from robolearn.rollout.env_config import EnvConfig
from robolearn.unused import is_begun, is_unused


@pytest.fixture
def left(tmp_path):
    """A directory with all that kills leave of a beginning."""
    (tmp_path / "a" / BEGUN).mkdir(parents=True)
    for name in (LOCK_FILE, "config.json.part"):
        (tmp_path / "a" / name).touch()
    return tmp_path / "a"


def test_what_a_kill_left_of_a_beginning_is_nothing(tmp_path, left):
    assert is_unused(tmp_path / "none", "config.json")
    assert is_unused(left, "config.json")
    assert not is_begun(left, "config.json", "no plan run")
    (left / "config.json").touch()
    assert is_begun(left, "config.json", "no plan run")


def test_a_kill_while_files_took_their_places_left_all_of_them(tmp_path):
    (tmp_path / COMPLETE).mkdir()
    (tmp_path / COMPLETE / "config.json").touch()
    assert is_begun(tmp_path, "config.json", "no plan run")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", ["thesis.txt", "thesis.txt.part"])
def test_anything_else_is_something_else(left, name):
    (left / name).touch()
    with pytest.raises(ValueError, match="a exists and is no plan run; choose another `out`"):
        is_begun(left, "config.json", "no plan run")


@pytest.mark.parametrize("overwrite", [False, True])
def test_trials_are_planned_where_a_beginning_was_killed(left, overwrite):
    cfg = PlanConfig(EnvConfig("Pendulum-v1"), left, overwrite=overwrite)
    assert PlanRun.begin_or_go_on(cfg).config().trials == cfg.trials
