"""A check says what a deployed policy was compared with, by how much it differs and how long a plan takes."""

import json
import shutil

import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.deploy import runtime
from robolearn.deploy.check import Check, compare
from robolearn.evaluation.deploy import check_deployed, deploy_run
from tests.deploy.changes import change

pytest.importorskip("onnxruntime")


def test_a_check_compares_with_the_run_and_says_what_it_found(run, deployed, capsys):
    (deployed / "check.json").unlink()
    main(["deploy", "--check", str(deployed)])
    out = capsys.readouterr().out
    assert "largest difference of 20 actions on recorded observations" in out
    check = Check.read(deployed)
    assert check.compared_with == str(run)
    assert check.torch_ms is not None


def test_a_check_says_that_the_machine_was_busy(run, deployed, capsys, monkeypatch):
    times = {"p50_ms": 208.0, "cpu_ms": 7.0, "waited": 0.9}
    monkeypatch.setattr("robolearn.deploy.check.times_in_turn", lambda calls, _: [times] * len(calls))
    main(["deploy", "--check", str(deployed)])
    out = capsys.readouterr().out
    assert "a plan takes 208.000 ms (7.000 ms of CPU time), with torch 208.000 ms" in out
    assert "measured on a busy machine: planning took 208 ms by the clock in the median, 7 ms of CPU time" in out
    assert Check.read(deployed).waited == 0.9
    before = json.loads((deployed / "check.json").read_text())
    for name in ("runtime_cpu_ms", "torch_cpu_ms", "waited"):
        del before[name]
    (deployed / "check.json").write_text(json.dumps(before))
    assert Check.read(deployed).busy_remark is None  # of a check before it was measured nothing is known


def test_a_check_without_the_run_takes_what_it_did(run, deployed, tmp_path):
    away = deployed.rename(tmp_path / "robot")
    shutil.rmtree(run)
    check = check_deployed(away)
    assert check.compared_with == "the actions of when it was deployed"
    assert check.is_equal
    assert check.torch_ms is None


def test_a_run_that_was_trained_on_is_not_compared_with(run, deployed, capsys):
    last = (run / "checkpoints" / "last").resolve()
    change(last / "policy.safetensors", b"\x3d", b"\x3e")
    assert check_deployed(deployed).compared_with == "the actions of when it was deployed"
    assert "has other weights or options by now" in capsys.readouterr().err


def test_a_policy_that_differs_ends_with_status_1(deployed, capsys):
    with pytest.raises(SystemExit) as end:
        main(["deploy", "--check", str(deployed), "--tolerance", "1e-30"])
    assert end.value.code == 1
    assert "actions differ by more than 1e-30" in capsys.readouterr().err
    assert not Check.read(deployed).is_equal


def test_actions_that_differ_are_counted(deployed, monkeypatch):
    """One that is no number differs too."""
    monkeypatch.setattr(runtime, "difference", lambda *_: np.array([0.0, 0.5, 2.0, np.nan]))
    check = compare(runtime.Policy(deployed), None, None, "itself", 1.0)
    assert (check.actions, check.actions_above, check.is_equal) == (4, 2, False)


def test_without_demonstrations_the_observations_are_random(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("robolearn.evaluation.deploy.MOST_STEPS", 8)
    config = json.loads((run / "config.json").read_text())
    config["dataset"]["path"] = [str(tmp_path / "gone.zarr")]
    (run / "config.json").write_text(json.dumps(config))
    _, check = deploy_run(run)
    assert check.observed == "random observations"
    assert check.actions == 8
    assert "checked on random ones" in capsys.readouterr().err
