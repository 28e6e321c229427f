"""One's own store is a task like the published ones, and what was published does not count among other runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from robolearn.bench import comparison
from robolearn.bench.comparison import is_store, own, published
from robolearn.bench.rows import TASKS
from robolearn.commands.main import main
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.rollout.env_config import EnvConfig
from robolearn.types import Episode
from tests.bench.tiny import write_demos

PLACES = {"runs": None, "kept": None, "out": None}


def test_published_results_stand_beside_their_own_runs_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert published(["avoid"], Path("datasets"), **PLACES).kept is None  # not there
    comparison.KEPT.parent.mkdir(parents=True)
    comparison.KEPT.touch()
    here = published(["avoid"], Path("datasets"), **PLACES)
    assert (here.kept, [task.name for task in here.tasks], here.known) == (comparison.KEPT, ["avoid"], TASKS)
    assert published([], Path("datasets"), **{**PLACES, "runs": Path("runs/mine")}).kept is None


def test_a_store_of_ones_own_is_a_task(tmp_path):
    store = write_demos(tmp_path) / "tiny.zarr"
    assert is_store(store)
    assert not is_store(tmp_path)
    here = own(store, EnvConfig(), 500, **PLACES)
    (task,) = here.tasks
    assert (task.name, task.train.steps, task.num_states, task.num_repeats) == ("tiny", 500, 10, 24)  # Avoid has modes
    assert (here.data / task.train.dataset.path[0], here.kept) == (store, None)
    assert here.out == Path("runs/bench/tiny/results")
    plain = EnvConfig("tests.rollout.plain_env:test/Plain-v0", {"count": 9}, success_key="success")
    (task,) = own(store, plain, None, **PLACES).tasks
    assert (task.train.steps, task.num_states, task.num_repeats) == (18_000, 200, 1)
    assert task.train.env == plain


def test_a_store_has_to_name_an_environment_that_is_known(tmp_path):
    for name, env_id, message in (
        ("nameless", None, "nameless.zarr names no environment; give `env.id`"),
        ("strange", "stranger:their/Task-v0", "strange.zarr names the environment .* would run code of 'stranger'"),
    ):
        attrs = StoreAttrs(env_id=env_id, control_dt=0.1, obs_keys=("state",))
        episode = Episode({"state": np.zeros((9, 2), np.float32)}, np.zeros((9, 2), np.float32), {})
        DemoWriter.create(tmp_path / f"{name}.zarr", attrs=attrs).extend([episode])
        with pytest.raises(ValueError, match=message):
            own(tmp_path / f"{name}.zarr", EnvConfig(), None, **PLACES)


def test_options_of_ones_own_store_are_refused_for_tasks(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "triangle", "--steps", "5"])
    assert "--steps belong to a store of your own, --data STORE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bench", "triangle", "--env.success-key", "task_done"])
    assert "belong to a store of your own" in capsys.readouterr().err


def test_where_no_results_can_be_written_nothing_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("robolearn.commands.bench.work", None)
    (tmp_path / "file").touch()
    store = write_demos(tmp_path, 20) / "tiny.zarr"
    flags = ["--data", str(store), "--rows", "regression", "--runs", str(tmp_path / "runs"), "--device", "cpu"]
    with pytest.raises(SystemExit) as end:
        main(["bench", "triangle", *flags, "--out", str(tmp_path / "file" / "results")])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'file'}")


@pytest.mark.slow
def test_families_are_compared_on_ones_own_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store = write_demos(tmp_path, 20) / "tiny.zarr"
    flags = ["--data", str(store), "--steps", "4", "--rows", "regression", "--seeds", "0", "--device", "cpu"]
    main(["bench", "triangle", *flags])
    assert "tiny regression compute seed 0: 4 steps" in capsys.readouterr().out
    (group,) = json.loads((tmp_path / "runs/bench/tiny/results.json").read_text())
    assert (group["task"], [entry["row"] for entry in group["entries"]]) == ("tiny", ["regression"])
    main(["bench", "pack", *flags, "--kept", "mine.json.xz"])
    assert "mine.json.xz: 3 files" in capsys.readouterr().out
