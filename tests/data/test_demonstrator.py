"""Strangers' environments with an expert: a fault is one line, and what was finished before is kept."""

import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.data.collect import collect
from robolearn.data.store import DemoStore
from tests.data.bad_line_envs import BAD_SEED, REFUSED, WRONG
from tests.data.test_collect import LINE


def said(capsys, *arguments):
    """The one line on stderr with which `collect` ends; its exit status is 2."""
    with pytest.raises(SystemExit) as ended:
        main(["collect", *map(str, arguments)])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    return line


@pytest.mark.parametrize("name", WRONG)
def test_a_fault_is_one_line_and_what_was_finished_is_kept(tmp_path, capsys, name):
    env, out = f"tests.data.bad_line_envs:bad-line/{name}-v0", tmp_path / "bad.zarr"
    line = said(capsys, env, "--out", out, "--episodes", 50, "--seed", 1, "--num-envs", 2)
    assert line.startswith(f"error: environment {env}: {WRONG[name][2]}")
    kept = DemoStore.open(out)
    collect(LINE, kept.num_episodes, tmp_path / "good.zarr", seed=1)
    good = DemoStore.open(tmp_path / "good.zarr")
    assert 3 <= kept.num_episodes < BAD_SEED
    assert kept.content_hash() == good.content_hash()


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_known_at_the_start_is_said_before_anything_is_written(tmp_path, capsys, name):
    line = said(capsys, f"tests.data.bad_line_envs:bad-line/{name}-v0", "--out", tmp_path / "x.zarr", "--episodes", 5)
    assert REFUSED[name][1] in line
    assert not (tmp_path / "x.zarr").exists()


def test_a_defect_of_ours_keeps_its_traceback(tmp_path):
    def broken(_):
        raise TypeError("ours")

    with pytest.raises(TypeError, match="ours"):
        collect(LINE, 5, tmp_path / "x.zarr", on_episode=broken)


def test_what_an_ended_episode_leaves_behind_may_be_anything(tmp_path, monkeypatch):
    """Its last observation is not recorded, and what is told of episodes that go on is not believed."""
    from tests.data.line_env import LineEnvs

    right = LineEnvs.step

    def step(self, actions):
        obs, rewards, terminated, truncated, info = right(self, actions)
        obs["state"] = np.where(terminated[:, None], np.nan, obs["state"])
        info = {key: np.where(terminated, value, np.nan) for key, value in info.items()}
        return obs, rewards, terminated, truncated, info

    collect(LINE, 5, tmp_path / "a.zarr", num_envs=2)
    monkeypatch.setattr(LineEnvs, "step", step)
    collect(LINE, 5, tmp_path / "b.zarr", num_envs=2)
    assert DemoStore.open(tmp_path / "a.zarr").content_hash() == DemoStore.open(tmp_path / "b.zarr").content_hash()
