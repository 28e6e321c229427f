"""calibrate and eval.py --gate, --safety-set: what they write, print and refuse."""

import dataclasses
import json

import pytest

from robolearn.commands.main import main as cli
from robolearn.config import read_json, write_json
from robolearn.data.store import DemoStore
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.training.run import Run
from robolearn.trust.calibrated_gate import ThresholdCalibration
from robolearn.trust.files import describe_source, save_gate

SMALL = ["--threads", "1", "--device", "cpu"]
LOOK = ["--episodes", "6", "--videos", "0", *SMALL]

FEW = ["--episodes", "10", "--alpha", "0.4"]


@pytest.fixture
def run(trained_pair):
    return trained_pair


def give_gate(run, score, threshold, **changes):
    """A gate as calibrate would write it, had 20 episodes succeeded with largest scores up to the threshold."""
    opened = Run.open(run)
    source = describe_source(opened.members(), opened.config().env, Execution(2), {"sampler": None, "steps": None})
    peaks = tuple(threshold - 0.01 * i for i in range(20))
    episodes = (tuple(range(700_000, 700_020)), peaks, (True,) * 20)
    save_gate(
        run / "gate", ThresholdCalibration(dataclasses.replace(source, **changes), score, 4, 0.1, None, *episodes)
    )


def summary(run):
    return json.loads((run / "eval" / "summary.json").read_text())


def test_an_eval_with_a_gate_reports_what_it_did(run, eval_main, capsys, with_page):
    give_gate(run, "disagreement", 1e9)
    eval_main([str(run), "--gate", "--fallback", "watch", *LOOK])
    gate = summary(run)["gate"]
    assert (gate["score"], gate["covered"], gate["alarmed"]["value"], gate["intervened"]) == (
        "disagreement",
        True,
        0.0,
        0.0,
    )
    assert {"gate_p50_ms", "gate_p99_ms"} <= set(summary(run)["latency"])
    printed = capsys.readouterr()
    assert "alarmed" in printed.out
    assert "does not cover" not in printed.err
    page = (run / "eval" / "report.html").read_text()
    assert "Uncertainty over time" in page
    assert "promised 0.1 (0.012 to 0.249)" in page
    assert "[0.012, 0.249]" in printed.out


def test_a_gate_that_always_alarms_stops_every_episode(run, eval_main):
    give_gate(run, "stac-single", -1.0)
    eval_main([str(run), "--gate", "--fallback", "stop", *LOOK])
    assert summary(run)["summary"]["reasons"] == {"stopped": 6}


def test_the_expert_takes_over_and_is_recorded(run, eval_main, train_main, tiny_flags, demos, tmp_path, capsys):
    """From the first alarm on the expert drives, and train.py takes what it did."""
    give_gate(run, "disagreement", -1.0)
    store = tmp_path / "interventions.zarr"
    eval_main([str(run), "--gate", "--fallback", "expert", "--record-interventions", str(store), *LOOK])
    assert summary(run)["summary"]["success"]["value"] == 1.0
    assert DemoStore.open(store).num_episodes == 6
    assert "interventions: 6 in" in capsys.readouterr().out
    mixed = ["--dataset.path", str(demos), str(store), "--steps", "2", "--out", str(tmp_path / "again")]
    train_main([*tiny_flags, *mixed])
    assert Run.open(tmp_path / "again").data().num_episodes > Run.open(run).data().num_episodes


@pytest.mark.slow
def test_success_at_each_budget_is_drawn(run, eval_main, with_page):
    give_gate(run, "disagreement", -1.0)
    eval_main([str(run), "--gate", "--fallback", "expert", "--budgets", "40", "0", "12", *LOOK])
    points = summary(run)["gate"]["budgets"]
    assert [point["budget"] for point in points] == [0, 12, 40]
    shares = [point["intervened"] for point in points]
    assert shares[0] == 0 < shares[1] < shares[2]
    assert points[2]["success"]["value"] >= points[0]["success"]["value"]
    assert "Success at each budget" in (run / "eval" / "report.html").read_text()


def test_a_changed_environment_is_run_with_a_warning(run, eval_main, capsys, with_page):
    give_gate(run, "disagreement", 1e9)
    eval_main([str(run), "--gate", "--fallback", "watch", "--env.kwargs", "moved", "0.06", *LOOK])
    assert "the certificate does not cover this" in capsys.readouterr().err
    assert not summary(run)["gate"]["covered"]
    assert "no promise here" in (run / "eval" / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--gate", "--env.id", "envs:robolearn/Push-v0"], "calibrated in envs:robolearn/Avoid-v0"),
        (["--gate", "--seed", "699998"], "4 of the seeds 699998 .. 700003 were calibrated on"),
        (["--gate", "--checkpoint", "7"], "has no checkpoint '7'"),
        (["--safety-set"], "has no tube; make one with: python -m robolearn calibrate .* --safety-set"),
        (["--fallback", "hold"], r"`budget`\(s\) and `record_interventions` need `gate` or `safety_set`"),
        (["--gate", "--budget", "-1"], "`budget` -1"),
        (["--gate", "--ensembling", "0.1"], "no ensembling"),
        (["--gate", "--record-interventions", "x.zarr"], "needs `fallback` expert: replan"),
    ],
)
def test_what_eval_refuses(run, eval_main, flags, message):
    give_gate(run, "disagreement", 1e9)
    with pytest.raises(ValueError, match=message):
        eval_main([str(run), *flags, *LOOK])


def test_a_run_without_a_gate_says_how_to_make_one(run, eval_main):
    with pytest.raises(ValueError, match="has no gate; make one with: python -m robolearn calibrate"):
        eval_main([str(run), "--gate", *LOOK])


def test_another_threshold_or_checkpoint_is_refused(run, eval_main, train_main):
    give_gate(run, "disagreement", 1.0)
    path = run / "gate" / "certificate.json"
    write_json(path, {**read_json(path), "threshold": 2.0})
    with pytest.raises(ValueError, match=r"the certificate says threshold 2.0, its files give 0.99; calibrate again"):
        eval_main([str(run), "--gate", *LOOK])
    give_gate(run, "disagreement", 1.0)
    train_main(["--resume", str(run), "--steps", "4"])
    with pytest.raises(ValueError, match="not of this checkpoint"):
        eval_main([str(run), "--gate", *LOOK])


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        cli(["calibrate", *arguments])
    assert caught.value.code != 0
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--episodes", "8"], "8 calibration scores give no finite threshold at alpha 0.1: at least 9"),
        (["--episodes", "9", "--seed", "99995"], "overlap with those of demonstrations (0 .. 99999)"),
        (["--episodes", "9", "--seed", "100000"], "overlap with those of evaluations (100000 .. 249999)"),
        (["--episodes", "9", "--seed", "600000"], "rollouts while training"),
        (["--episodes", "9", "--score", "surprise"], "'surprise' is unknown; choose from disagreement"),
        (["--episodes", "9", "--score", "denoising-loss"], "is unknown"),
        (["--episodes", "9", "--alpha", "2"], "alpha must be in (0, 1)"),
    ],
)
def test_what_calibrate_refuses(run, capsys, flags, message):
    assert message in refused(capsys, str(run), *flags, *SMALL)
    assert not (run / "gate" / "calibration.json").exists()


def test_too_few_successes_are_refused(run, capsys):
    error = refused(capsys, str(run), "--episodes", "10", "--alpha", "0.1", *SMALL)
    assert "calibration scores give no finite threshold at alpha 0.1" in error
    assert "of successful episodes" in error


@pytest.mark.parametrize(
    "score",
    [pytest.param("disagreement", marks=pytest.mark.slow), "laplace", pytest.param("gp", marks=pytest.mark.slow)],
)
def test_a_gate_is_calibrated_and_used(run, eval_main, capsys, score):
    cli(["calibrate", str(run), "--score", score, "--episodes", "30", "--alpha", "0.3", *SMALL])
    printed = capsys.readouterr().out
    assert "claim: of the episodes that succeed without interventions, at most 0.3" in printed
    assert f"next: robolearn eval {run} --gate" in printed
    assert (run / "gate" / "scores.safetensors").exists() == (score != "disagreement")
    eval_main([str(run), "--gate", "--fallback", "watch", *LOOK])
    assert summary(run)["gate"]["covered"]
    assert summary(run)["gate"]["score"] == score


def test_a_band_is_calibrated_and_used_as_a_gate_over_time(run, eval_main, capsys, with_page):
    flags = ["--band", "--score", "stac-single", "--episodes", "40", "--alpha", "0.4"]
    cli(["calibrate", str(run), *flags, *SMALL])
    printed = capsys.readouterr().out
    assert "have a stac-single score above its band" in printed
    assert f"next: robolearn eval {run} --gate" in printed
    kept = read_json(run / "gate" / "calibration.json")
    assert kept["type"] == "band"
    assert len(kept["scores"]) == len(kept["seeds"]) == 40
    eval_main([str(run), "--gate", "--fallback", "watch", *LOOK])
    gate = summary(run)["gate"]
    assert gate["covered"]
    assert len(gate["band"]) > 1
    assert "stac-single > its band" in capsys.readouterr().out
    assert "Uncertainty over time" in (run / "eval" / "report.html").read_text()


def test_a_safety_set_that_did_not_act_while_it_was_calibrated_covers_nothing(run, eval_main, capsys, with_page):
    cli(["calibrate", str(run), "--safety-set", "--episodes", "20", "--candidates", "3", *SMALL])
    printed = capsys.readouterr().out
    assert "calibrated on 10 episodes" in printed
    assert f"next: robolearn eval {run} --candidates 3 --safety-set" in printed
    assert "the policy chose its chunks alone" in printed
    assert "and 0.308 in 95 %" in printed  # Beta(1, 10)
    eval_main([str(run), "--safety-set", "--candidates", "3", *LOOK])
    gate = summary(run)["gate"]
    assert (gate["safety_set"], gate["score"], gate["promise"], gate["covered"]) == (True, None, None, False)
    assert gate["tube"]["left"]["n"] == 6
    printed = capsys.readouterr()
    assert "warning: safety set: calibrated on episodes in which the policy chose the chunks" in printed.err
    assert "the certificate does not cover this" in printed.err
    assert "left a tube" in printed.out
    assert "nothing: not covered" in printed.out
    assert "Episodes that left a tube" in (run / "eval" / "report.html").read_text()


def test_a_safety_set_that_was_calibrated_while_it_acted_covers_that(run, eval_main, capsys):
    flags = ["--safety-set", "--candidates", "3"]
    cli(["calibrate", str(run), *flags, *FEW, "--rounds", "9", *SMALL])
    assert "this very set acted, in round" in capsys.readouterr().out
    eval_main([str(run), *flags, *LOOK])
    assert summary(run)["gate"]["covered"]
    printed = capsys.readouterr()
    assert "does not cover" not in printed.err
    assert "nothing: not covered" not in printed.out
    for other, why in ((["--fallback", "stop"], "(or hold)"), (["--exec-horizon", "1"], "another environment")):
        eval_main([str(run), *flags, *other, *LOOK])
        assert not summary(run)["gate"]["covered"]
        assert why in capsys.readouterr().err


def test_a_gate_and_a_set_are_covered_if_both_are(run, eval_main, capsys, monkeypatch):
    """A gate that was calibrated while the set acted, then one that was calibrated without it.

    The policy is hardly trained: whatever it does counts as success.
    """

    def succeeding(*args, **kwargs):
        return [dataclasses.replace(t, success=True) for t in roll_out(*args, **kwargs)]

    monkeypatch.setattr("robolearn.trust.calibrate.roll_out", succeeding)
    flags = ["--candidates", "3", *SMALL]
    cli(["calibrate", str(run), "--safety-set", "--rounds", "9", *FEW, *flags])
    both = [str(run), "--gate", "--safety-set", "--candidates", "3", *LOOK]
    gate = [
        "calibrate",
        str(run),
        "--score",
        "stac-single",
        "--seed",
        "710000",
        "--episodes",
        "30",
        "--alpha",
        "0.5",
        *flags,
    ]
    cli([*gate, "--within-set"])
    capsys.readouterr()
    eval_main(both)
    assert summary(run)["gate"]["covered"]
    assert "does not cover" not in capsys.readouterr().err
    cli(gate)
    eval_main(both)
    assert not summary(run)["gate"]["covered"]
    warning = capsys.readouterr().err
    assert "warning: gate: calibrated on episodes in which the policy chose" in warning
    assert "warning: safety set" not in warning


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rounds", "1"], "--rounds is for --safety-set"),
        (["--safety-set", "--rounds", "-1"], "--rounds -1 must not be negative"),
        (["--safety-set", "--within-set"], "are for a gate"),
        (["--safety-set", "--band"], "are for a gate"),
        (["--band", "--episodes", "17"], "8 calibration scores give no finite threshold at alpha 0.1"),
        (["--band", "--episodes", "20000"], "--band keeps every score of every episode: at most 10000"),
        (["--safety-set", "--score", "stac"], "are for a gate"),
        (["--safety-set", "--episodes", "17"], "8 calibration scores give no finite threshold at alpha 0.1"),
        (["--safety-set", "--key", "pixels"], "no vector 'pixels' is observed; there are: state"),
        (["--safety-set", "--position", "0", "4"], "must be numbers of 'state', 0 .. 3"),
        (["--safety-set", "--position", "1", "1"], "position (1, 1) names a number of 'state' twice"),
        (["--beta", "2"], "beta must be in (0, 1)"),
        (["--seed", "-1"], "seed -1 must not be negative"),
        (["--safety-set", "--env.id", "envs:robolearn/Push-v0"], "the environment tells no distance"),
        (["--within-set"], "has no tube; make one with: python -m robolearn calibrate"),
    ],
)
def test_what_cannot_be_calibrated_is_said_before_anything_is_rolled_out(run, capsys, monkeypatch, flags, message):
    monkeypatch.setattr("robolearn.trust.calibrate.roll_out", None)
    assert message in refused(capsys, str(run), *flags, *SMALL)
