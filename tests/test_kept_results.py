"""An evaluation's numbers are on disk before anything that may fail, and what is stopped keeps what finished."""

import errno
import json
import os
import shutil

import pytest

from robolearn.commands.main import main
from robolearn.config import read_json
from robolearn.errors import user_errors
from robolearn.evaluation import evaluate as evaluation
from robolearn.locks import HeldError, hold
from robolearn.rollout import replay as replay_module
from robolearn.rollout import roll_out as roll_out_module
from robolearn.rollout.loop import LoopEnvs

CPU = ["--threads", "1", "--device", "cpu"]
LOOK = ["--episodes", "4", "--env.max-episode-steps", "3", *CPU]
TRAINED = []


@pytest.fixture
def run(tmp_path, tmp_path_factory, demos, train_main, tiny_flags):
    if not TRAINED:
        TRAINED.append(tmp_path_factory.mktemp("kept") / "run")
        train_main([*tiny_flags, "--dataset.path", str(demos), "--steps", "2", "--out", str(TRAINED[0])])
    return shutil.copytree(TRAINED[0], tmp_path / "run", symlinks=True)


def fail(*_, **__):
    raise RuntimeError("no\ndisplay")


def rows(folder):
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def test_a_failing_renderer_is_a_warning(run, eval_main, monkeypatch, capsys, with_page):
    monkeypatch.setattr(replay_module, "make_env", fail)
    eval_main([str(run), "--videos", "2", *LOOK])
    (line,) = (
        line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: no video of episode ")
    )
    assert line.endswith(" (RuntimeError: no display)")
    assert len(rows(run / "eval")) == 4
    assert (run / "eval" / "report.html").exists()


def test_a_failing_page_leaves_the_results(run, eval_main, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "write_report", fail)
    eval_main([str(run), "--videos", "0", *LOOK])
    assert "warning: the page is left out" in capsys.readouterr().err
    assert {"summary", "latency"} <= set(read_json(run / "eval" / "summary.json"))


def test_what_fails_after_the_rollouts_finds_the_results_written(run, eval_main, monkeypatch):
    monkeypatch.setattr(evaluation, "measure_latency", fail)
    with pytest.raises(RuntimeError, match="display"):
        eval_main([str(run), *LOOK])
    assert len(rows(run / "eval")) == 4


def stop_after(original, count):
    """Stands in for roll_out: stops, as Ctrl-C does, when so many episodes have finished."""

    def roll_out(*arguments, on_done, **kwargs):
        finished = []

        def note(trajectory):
            on_done(trajectory)
            finished.append(trajectory)
            if len(finished) == count:
                raise KeyboardInterrupt

        return original(*arguments, on_done=note, **kwargs)

    return roll_out


def test_a_stopped_evaluation_keeps_its_finished_episodes_and_says_that_it_is_partial(
    run, eval_main, monkeypatch, capsys
):
    roll_out = evaluation.roll_out
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "roll_out", stop_after(roll_out, 3))
        with pytest.raises(SystemExit) as caught, user_errors():
            eval_main([str(run), *LOOK])
    assert caught.value.code == 130
    error = capsys.readouterr().err
    assert "3 of 4 episodes had finished" in error
    assert "Traceback" not in error
    assert len(rows(run / "eval")) == 3
    assert read_json(run / "eval" / "summary.json")["partial"] == {"asked": 4, "finished": 3}
    eval_main([str(run), "--videos", "0", *LOOK])  # a complete one takes its place
    assert "partial" not in read_json(run / "eval" / "summary.json")
    with monkeypatch.context() as patch:  # and is not replaced by a partial one
        patch.setattr(evaluation, "roll_out", stop_after(roll_out, 2))
        with pytest.raises(KeyboardInterrupt):
            eval_main([str(run), *LOOK])
    assert len(rows(run / "eval")) == 4
    assert len(rows(run / "eval" / "partial")) == 2


def refuse(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def rolled(monkeypatch):
    """Which episodes the engine was asked for, call by call."""
    asked, original = [], roll_out_module.run_episodes

    def run_episodes(envs, controller, episodes, **options):
        asked.append(list(episodes))
        return original(envs, controller, episodes, **options)

    monkeypatch.setattr(roll_out_module, "run_episodes", run_episodes)
    return asked


def test_an_evaluation_goes_on_from_what_had_finished(run, eval_main, rolled, monkeypatch, capsys):
    """Behind a kill, which nobody hears of, and behind a disk that was full when results were to be written."""
    command = [str(run), "--videos", "0", "--num-envs", "1", *LOOK]
    eval_main([*command, "--out", str(run / "whole")])
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "roll_out", stop_after(roll_out_module.roll_out, 2))
        patch.setattr(evaluation._Evaluation, "_keep", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            eval_main(command)
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "write_results", refuse)
        with pytest.raises(OSError, match="No space"):
            eval_main(command)
    assert "note: 2 episodes that had finished are in" in capsys.readouterr().err
    eval_main(command)
    assert rolled == [[0, 1, 2, 3], [0, 1, 2, 3], [2, 3]]
    assert rows(run / "eval") == rows(run / "whole")
    assert not (run / "eval" / "parts").exists()
    eval_main(command)  # whoever asks for a complete one again gets it anew
    assert rolled[3:] == [[0, 1, 2, 3]]


def test_episodes_of_other_code_are_rolled_out_anew(run, eval_main, rolled, monkeypatch):
    """Whoever stops an evaluation may do so because something is wrong with the environment."""
    command = [str(run), "--videos", "0", *LOOK]
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "write_results", refuse)
        with pytest.raises(OSError, match="No space"):
            eval_main(command)
    monkeypatch.setattr("robolearn.rollout.circumstances.hash_code", lambda _: "mended")
    eval_main(command)
    assert rolled == [[0, 1, 2, 3]] * 2


def test_a_calibration_goes_on_from_what_had_finished(run, rolled, monkeypatch, capsys):
    """Behind Ctrl-C, and behind a disk that was full when the result was to be written."""
    limits = ["--episodes", "10", "--alpha", "0.4", "--num-envs", "3", "--env.max-episode-steps", "8", *CPU]
    command = ["calibrate", str(run), "--safety-set", "--candidates", "3", *limits]
    main(command)
    whole = {path.name: path.read_bytes() for path in (run / "tube").iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr("robolearn.trust.calibrate.roll_out", stop_after(roll_out_module.roll_out, 4))
        with pytest.raises(SystemExit) as caught:
            main(command)
    assert caught.value.code == 130
    assert "4 of 10 episodes had finished; the same command goes on from there" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("robolearn.evaluation.calibrate.save_set", refuse)
        with pytest.raises(SystemExit) as caught:
            main(command)
    assert caught.value.code == 2
    assert "note: 4 episodes that had finished are in" in capsys.readouterr().err
    assert [len(episodes) for episodes in rolled] == [10, 10, 6]
    assert {path.name: path.read_bytes() for path in (run / "tube").iterdir() if path.is_file()} == whole
    main(command)
    assert len(rolled) == 3
    assert {path.name: path.read_bytes() for path in (run / "tube").iterdir()} == whole


@pytest.mark.parametrize("command", ["eval", "calibrate"])
def test_a_disk_that_is_full_is_said_before_anything_is_rolled_out(run, command, monkeypatch, capsys):
    monkeypatch.setattr(roll_out_module, "run_episodes", None)
    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    with pytest.raises(SystemExit) as caught:
        main([command, str(run), "--episodes", "10", *CPU])
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith("json: No space left on device\n")


def test_two_evaluations_do_not_write_into_one_place(run, eval_main):
    with hold(run / "eval"), pytest.raises(HeldError, match="eval is being written by"):
        eval_main([str(run), *LOOK])


def test_an_evaluation_of_nothing_leaves_no_folder(tmp_path, eval_main):
    with pytest.raises(ValueError, match="is no run"):
        eval_main([str(tmp_path / "nowhere"), *LOOK])
    assert not (tmp_path / "nowhere").exists()


def test_close_of_an_environment_may_fail(run, eval_main, monkeypatch, capsys):
    monkeypatch.setattr(LoopEnvs, "close", fail)
    eval_main([str(run), "--videos", "0", "--env.id", "tests.rollout.plain_env:test/Plain-v0", *LOOK])
    assert "warning: closing the environments failed (RuntimeError: no display)" in capsys.readouterr().err
    assert len(rows(run / "eval")) == 4
