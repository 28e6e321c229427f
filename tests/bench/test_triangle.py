"""Units of work: what is finished is never done again, what was stopped goes on, nothing is done twice."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from robolearn.bench import latency, training, triangle
from robolearn.bench.gather import gather
from robolearn.bench.latency import measure_again
from robolearn.bench.measuring import LATENCY_REPEATS
from robolearn.bench.rows import Setting
from robolearn.bench.triangle import make_units, work
from robolearn.bench.unit import Unit
from robolearn.config import read_json, write_json
from robolearn.errors import UserError, exit_status
from robolearn.policies.policy import Policy
from robolearn.training.fit import DivergedError
from tests.bench.tiny import FLOW, REGRESSION, ROWS, TASK, write_demos

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path):
    return write_demos(tmp_path)


@pytest.fixture
def flow(tmp_path):
    return Unit(TASK, FLOW, "compute", 0, tmp_path / "runs")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with demonstrations and the unit of flow, done."""
    folder = write_demos(tmp_path_factory.mktemp("done"))
    work([Unit(TASK, FLOW, "compute", 0, folder / "runs")], folder, CPU)
    return folder


@pytest.fixture
def finished(tmp_path, done):
    """The unit of flow in a copy of that folder."""
    shutil.copytree(done, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Unit(TASK, FLOW, "compute", 0, tmp_path / "runs")


def weights(unit):
    return Policy.load(unit.directory / "run" / "checkpoints" / "last").state_dict()


def test_order_puts_all_rows_of_a_seed_first(tmp_path):
    units = make_units([TASK], ROWS, ["compute"], [0, 1], tmp_path)
    assert [(u.seed, u.row.name) for u in units] == [(0, "regression"), (0, "flow"), (1, "regression"), (1, "flow")]
    assert [unit.request().seed for unit in units] == [0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"'nope'; choose from compute, converged"):
        make_units([TASK], ROWS, ["nope"], [0], tmp_path)


def test_complete_units_are_left_alone(tmp_path, data, capsys, monkeypatch):
    units = make_units([TASK], ROWS, ["compute"], [0], tmp_path / "runs")
    assert work(units, data, CPU) == []
    assert [unit.missing() for unit in units] == [[], []]
    assert "flow compute seed 0: 6 steps" in capsys.readouterr().out
    result = units[1].result()
    assert [len(row) for row in result["settings"]["euler-1"]["evaluation"]["success"]] == [3, 3]
    assert result["modes"] == [1] * 10 + [0] * 14
    assert (result["settings"]["euler-5"]["nfe"], result["settings"]["euler-1"]["nfe"]) == (5, 1)
    assert result["training"]["cpu_s"] > 0
    monkeypatch.setattr(triangle, "complete", None)
    assert work(units, data, CPU) == []


def test_a_new_setting_is_measured_without_training_again(tmp_path, finished, monkeypatch):
    more = dataclasses.replace(
        finished, row=dataclasses.replace(FLOW, settings=(*FLOW.settings, Setting("euler-2", {"steps": 2})))
    )
    assert more.missing() == ["euler-2"]
    before = finished.result()["settings"]
    monkeypatch.setattr(training, "fit", None)
    work([more], tmp_path, CPU)
    assert more.result()["settings"].keys() == {"euler-5", "euler-1", "euler-2"}
    assert all(more.result()["settings"][name] == before[name] for name in before)


def test_chunks_executed_otherwise_are_measured_again_without_training_again(tmp_path, finished, monkeypatch):
    every_step = dataclasses.replace(TASK, train=dataclasses.replace(TASK.train, exec_horizon=1))
    again = dataclasses.replace(finished, task=every_step)
    assert finished.missing() == []
    assert again.missing() == ["euler-5", "euler-1"]
    monkeypatch.setattr(training, "fit", None)
    work([again], tmp_path, CPU)
    assert again.missing() == []
    assert finished.missing() == ["euler-5", "euler-1"]
    assert {measured["exec_horizon"] for measured in again.result()["settings"].values()} == {1}


def test_a_setting_that_does_not_say_so_was_executed_as_its_run_says(finished):
    result = finished.result()
    for measured in result["settings"].values():
        assert measured.pop("exec_horizon") == 2
    finished.write(result)
    assert finished.missing() == []
    otherwise = dataclasses.replace(TASK, train=dataclasses.replace(TASK.train, exec_horizon=4))
    assert dataclasses.replace(finished, task=otherwise).missing() == ["euler-5", "euler-1"]


def test_stopped_between_settings_keeps_the_first(data, flow, monkeypatch):
    measure, calls = triangle.measure, []

    def stop_at_second(task, run, setting, *rest):
        calls.append(setting.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(task, run, setting, *rest)

    monkeypatch.setattr(triangle, "measure", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        work([flow], data, CPU)
    assert flow.missing() == ["euler-1"]
    work([flow], data, CPU)
    assert calls == ["euler-5", "euler-1", "euler-1"]


def test_a_signal_while_the_last_step_is_saved_is_no_reason_to_begin_measuring(data, flow, monkeypatch):
    save, measured = training.Accounted.checkpoint, []

    def interrupted(self, state):
        save(self, state)
        if state.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(training.Accounted, "checkpoint", interrupted)
    monkeypatch.setattr(triangle, "measure", lambda *_: measured.append(1))
    with pytest.raises(KeyboardInterrupt) as stop:
        work([flow], data, CPU)
    assert exit_status(stop.value) == 143
    assert training.trained_steps(flow) == 6
    assert not measured


def test_stopped_in_training_goes_on_to_the_same_weights(tmp_path, data, flow, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    whole = dataclasses.replace(flow, runs=tmp_path / "whole")
    training.train_unit(whole, data, CPU, lambda step: None)

    def interrupt(step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert not training.train_unit(flow, data, CPU, interrupt)
    stopped = training.trained_steps(flow)
    assert 3 <= stopped < 6
    assert flow.result() == {}
    assert training.train_unit(flow, data, CPU, lambda step: None)
    seconds = read_json(flow.directory / "seconds.json")
    assert sorted(map(int, seconds)) == [0, stopped, 6]
    assert seconds["6"][0] > seconds[str(stopped)][0]
    steps = [json.loads(line)["step"] for line in (flow.directory / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == list(range(1, 7))
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(flow)[name]), name


def test_killed_before_the_first_checkpoint_starts_afresh(data, flow):
    (flow.directory / "run" / "checkpoints").mkdir(parents=True)
    (flow.directory / "run" / "config.json").write_text("{")
    work([flow], data, CPU)
    assert flow.missing() == []


def test_time_of_a_part_that_is_repeated_does_not_count(data, flow):
    """A kill after the time of step 6 was written and before its checkpoint was."""
    training.train_unit(flow, data, CPU, lambda step: None)
    path = flow.directory / "seconds.json"
    path.write_text(json.dumps({"0": [0.0, 0.0], "6": [5.0, 5.0], "9": [1e6, 1e6]}))
    longer = dataclasses.replace(flow, task=dataclasses.replace(TASK, train=dataclasses.replace(TASK.train, steps=8)))
    training.train_unit(longer, data, CPU, lambda step: None)
    assert 5 < read_json(path)["8"][0] < 100
    assert list(read_json(path)) == ["0", "6", "8"]


def test_other_options_are_refused(tmp_path, finished):
    longer = dataclasses.replace(
        finished, task=dataclasses.replace(TASK, train=dataclasses.replace(TASK.train, steps=7))
    )
    with pytest.raises(ValueError, match="trained with other options"):
        work([longer], tmp_path, CPU)
    resampled = dataclasses.replace(FLOW, family=dataclasses.replace(FLOW.family, steps=3))  # does not matter
    assert dataclasses.replace(finished, row=resampled).missing() == []


def test_a_new_run_time_default_makes_no_other_training(flow):
    """What was trained before sampled by 5 steps by default; that is no part of the training."""
    flow.begin()
    path = flow.directory / "request.json"
    request = read_json(path)
    write_json(path, {**request, "family": {**request["family"], "steps": 5}})
    assert flow.result() == {}
    write_json(path, {**request, "family": {**request["family"], "time_density": "beta"}})
    with pytest.raises(ValueError, match="trained with other options"):
        flow.result()


def test_a_training_that_diverged_is_a_result(data, flow, monkeypatch, capsys):
    def diverge(*_):
        raise DivergedError("step 5: not finite")

    monkeypatch.setattr(training, "fit", diverge)
    work([flow], data, CPU)
    assert flow.result()["failed"] == "step 5: not finite"
    assert flow.missing() == []
    assert "failed: step 5" in capsys.readouterr().out


def test_what_else_ends_a_training_is_no_result(data, flow, monkeypatch):
    """Such as a video that cannot be decoded: it can be mended, and the same command goes on."""

    def refuse(*_):
        raise UserError("left.mp4 is no video, or a damaged one")

    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", refuse)
        with pytest.raises(UserError, match=r"left\.mp4"):
            work([flow], data, CPU)
    assert flow.missing() == ["euler-5", "euler-1"]
    work([flow], data, CPU)
    assert flow.missing() == []


def test_missing_demonstrations_are_an_error(tmp_path, flow):
    with pytest.raises(ValueError, match="no such file"):
        work([flow], tmp_path / "nowhere", CPU)
    assert flow.result() == {}


@pytest.mark.parametrize("changed", [{"num_episodes": 11}, {"seed": 1}])
@pytest.mark.parametrize("row", [FLOW, REGRESSION])
def test_other_demonstrations_of_the_same_name_are_refused(tmp_path, finished, monkeypatch, row, changed):
    """Neither are old results shown as those of a new store, nor are rows of both put beside each other."""
    monkeypatch.setattr(triangle, "complete", None)
    other, unit = write_demos(tmp_path / "other", **changed), dataclasses.replace(finished, row=row)
    with pytest.raises(UserError, match=r"flow/compute/0/run was trained on other demonstrations .*; choose other"):
        work([unit], other, CPU)
    shutil.rmtree(other)
    assert work([finished], other, CPU) == []  # there is nothing to compare with


def test_demonstrations_that_tell_no_mode_are_compared_without_modes(tmp_path, flow):
    work([flow], write_demos(tmp_path, mode=lambda i: -1), CPU)
    assert flow.result()["modes"] is None
    assert gather([TASK], ROWS, flow.runs)[0].entries[0].best.numbers.mode_entropy is None


@pytest.mark.long
def test_no_unit_is_done_twice(data, flow):
    """Another process holds one unit; killed, it holds nothing."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom robolearn.bench.unit import Unit\n"
        "from tests.bench.tiny import FLOW, TASK\n"
        f"with Unit(TASK, FLOW, 'compute', 0, Path({str(flow.runs)!r})).claim() as mine:\n"
        "    print(mine, flush=True)\n    time.sleep(60)\n"
    )
    regression = dataclasses.replace(flow, row=REGRESSION)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert work([flow, regression], data, CPU) == [flow]
        assert flow.result() == {}
        assert regression.missing() == []
        other.kill()
    assert work([flow, regression], data, CPU) == []
    assert flow.missing() == []


def test_a_unit_finished_meanwhile_is_not_done_again(tmp_path, finished, monkeypatch):
    monkeypatch.setattr(triangle, "complete", None)
    answers = iter([["euler-1"], []])  # missing when the list was made, not any more when it was claimed
    monkeypatch.setattr(Unit, "missing", lambda self: next(answers))
    assert work([finished], tmp_path, CPU) == []


def test_two_small_files_are_all_that_a_result_needs(tmp_path, finished, monkeypatch):
    """Carried elsewhere without the run: complete, never trained again, and its latency is left as it was."""
    moved = dataclasses.replace(finished, runs=tmp_path / "moved")
    moved.directory.mkdir(parents=True)
    for name in ("request.json", "result.json"):
        (moved.directory / name).write_bytes((finished.directory / name).read_bytes())
    monkeypatch.setattr(triangle, "complete", None)
    assert work([moved], tmp_path, CPU) == []
    assert gather([TASK], ROWS, moved.runs) == gather([TASK], ROWS, finished.runs)
    assert list(measure_again([moved], CPU)) == []
    assert moved.result() == finished.result()


def test_latency_is_measured_again_and_nothing_else_changes(finished, monkeypatch):
    assert list(measure_again([dataclasses.replace(finished, seed=1)], CPU)) == []  # not finished
    before = finished.result()
    busy = {"p50_ms": 208.0, "p99_ms": 300.0, "cpu_ms": 7.0, "waited": 0.9}
    monkeypatch.setattr(latency, "time_calls", lambda *_: busy)
    said = (
        "p99 300.00 ms; measured on a busy machine: planning took 208 ms by the clock in the median, 7 ms of CPU time"
    )
    assert said in next(iter(measure_again([finished], CPU)))
    fresh = {"p50_ms": 7.0, "p99_ms": 9.0, "cpu_ms": 6.9}  # of a system that does not count who waits
    monkeypatch.setattr(latency, "time_calls", lambda *_: fresh)
    assert next(iter(measure_again([finished], CPU))).endswith("euler-5: p50 7.00 ms, p99 9.00 ms")
    assert len(list(measure_again([finished], CPU))) == 2
    settings = {name: measured | fresh for name, measured in before["settings"].items()}
    for measured in settings.values():
        measured.pop("waited", None)
    assert finished.result() == before | {"settings": settings}


def test_latency_is_measured_in_turn_with_a_forward_pass_of_the_same_seed(tmp_path, finished, monkeypatch):
    work([Unit(TASK, REGRESSION, "compute", 0, finished.runs)], tmp_path, CPU)
    asked = []

    def in_turn(calls, repeats):
        asked.append((len(calls), repeats))
        assert [call().shape for call in calls] == [(1, 4, 2)] * 2
        return [{"p50_ms": 7.0, "p99_ms": 9.0}, {"p50_ms": 2.0, "p99_ms": 3.0}]

    monkeypatch.setattr(latency, "times_in_turn", in_turn)
    list(measure_again([finished], CPU))
    assert asked == [(2, LATENCY_REPEATS), (2, latency.ONE_EVALUATION_REPEATS)]  # Euler-5 and Euler-1
    for measured in finished.result()["settings"].values():
        assert (measured["p50_ms"], measured["p99_ms"], measured["forward_ms"]) == (7.0, 9.0, 2.0)
