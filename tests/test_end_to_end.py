"""The two commands, as a user types them: the shortest way through, and what can go wrong on it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from robolearn.data.store import DemoStore
from robolearn.errors import user_errors
from robolearn.policies.flow import FlowConfig
from robolearn.rollout.spent import PARTS

ROOT = Path(__file__).parents[1]


def command(name, *arguments):
    """Run a command in a process of its own."""
    line = [sys.executable, str(ROOT / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, request):
    """A policy that has seen 20 episodes of demonstrations for 20 steps."""
    folder = tmp_path_factory.mktemp("spine")
    demos, run = folder / "avoid.zarr", folder / "run"
    collect = [sys.executable, "-m", "robolearn", "collect", "envs:robolearn/Avoid-v0"]
    collect += ["--episodes", "20", "--out", str(demos)]
    done = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    flags = ["--steps", 20, "--batch-size", 32, "--no-wandb", "--device", "cpu", "--threads", 1]
    done = command("train", "flow", "--dataset.path", demos, "--out", run, *flags)
    assert done.returncode == 0, done.stderr
    assert f"next: python eval.py {run}" in done.stdout
    return run


@pytest.mark.long
def test_from_demonstrations_to_a_report(trained):
    done = command("eval", trained, "--episodes", 4, "--videos", 1, "--device", "cpu", "--threads", 1)
    assert done.returncode == 0, done.stderr
    out = trained / "eval"
    assert f"report: {out / 'report.html'}" in done.stdout
    rows = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    assert [row["episode"] for row in rows] == [0, 1, 2, 3]
    assert all({"seed", "success", "mode", "reason", "length", "max_score", "final_score"} <= set(r) for r in rows)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["summary"]["success"]["value"] == sum(row["success"] for row in rows) / 4
    assert summary["latency"]["nfe"] == FlowConfig().steps
    assert summary["latency"]["cpu_ms"] > 0
    assert {"policy", "physics", "bookkeeping", "preparing", "latency"} <= set(summary["spent_s"])
    here = [part for part in PARTS if part != "elsewhere"]
    spent = done.stdout[done.stdout.index("where the time went") :]
    assert re.findall(r"^ *([a-z]+) +[0-9.]+(?: +[0-9]+%)?", spent, re.MULTILINE) == [*here, "all"]
    page = (out / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert f"python eval.py {trained}" in page
    assert (trained / "metrics.jsonl").exists()


def test_run_time_choices_and_another_place(trained, tmp_path, eval_main):
    arguments = [str(trained), "--episodes", "2", "--videos", "0", "--device", "cpu", "--threads", "1"]
    choices = ["--sampler", "heun", "--steps", "3", "--exec-horizon", "4", "--env.max-episode-steps", "6"]
    eval_main([*arguments, *choices, "--out", str(tmp_path / "other")])
    summary = json.loads((tmp_path / "other" / "summary.json").read_text())
    assert summary["latency"]["nfe"] == 5
    rows = [json.loads(x) for x in (tmp_path / "other" / "episodes.jsonl").read_text().splitlines()]
    assert all(row["length"] <= 6 for row in rows)


def test_ways_to_execute(trained, tmp_path, eval_main, capsys, with_page):
    arguments = [str(trained), "--episodes", "2", "--videos", "0", "--device", "cpu", "--threads", "1"]
    arguments += ["--steps", "1", "--env.max-episode-steps", "6"]
    eval_main([*arguments, "--candidates", "3", "--keep-noise", "--delay", "1", "--out", str(tmp_path / "chosen")])
    chosen = "Execution(exec_horizon=8, ensembling=None, candidates=3, keep_noise=True, delay=1)"
    assert chosen in (tmp_path / "chosen" / "report.html").read_text()
    assert capsys.readouterr().err == ""
    eval_main([*arguments, "--ensembling", "0.01", "--out", str(tmp_path / "averaged")])
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: temporal ensembling averages over modes")


def ends_with_one_line(capsys, message, main, arguments):
    with pytest.raises(SystemExit) as caught, user_errors():
        main([str(a) for a in arguments])
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert message in lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset.path", "nowhere.zarr"], "nowhere.zarr: no such file or directory"),
        (["--dataset.path", "train.py"], "train.py: "),
        (["--dataset.path", "DEMOS", "--dataset.obs-keys", "image"], "no key 'image'"),
        (["--dataset.path", "DEMOS", "--dataset.num-episodes", "9"], "--dataset.num-episodes 9: "),
        (["--dataset.path", "DEMOS", "--dataset.num-episodes", "0"], "--dataset.num-episodes 0"),
        (["--dataset.path", "DEMOS", "--dataset.angles", "state"], "expected KEY:DIMENSION"),
        (["--obs-horizon", "0"], "--obs-horizon 0 must be at least 1"),
        (
            ["--action-horizon", "4", "--exec-horizon", "8"],
            "--exec-horizon 8 must be at most --action-horizon 4",
        ),
        (["--action-horizon", "-1"], "--action-horizon -1 must be at least 1"),
        (["--prefix-horizon", "16"], "--prefix-horizon 16 must be at least 0 and below --action-horizon 16"),
        (["--threads", "0"], "--threads 0 must be at least 1"),
        (["--ema-decay", "2", "--dataset.path", "DEMOS"], "--ema-decay 2.0 in [0, 1)"),
        (["--resume", "DEMOS"], "is no run: it has no config.json"),
        (["--out", "DEMOS", "--dataset.path", "DEMOS"], "exists; choose another --out"),
        (
            ["--out", "DEMOS", "--overwrite", "--dataset.path", "DEMOS"],
            "is no run, so --overwrite leaves it alone",
        ),
    ],
)
def test_what_train_cannot_do(demos, tmp_path, capsys, train_main, arguments, message):
    arguments = [str(demos) if a == "DEMOS" else a for a in arguments]
    flags = ["--no-wandb", "--device", "cpu", "--steps", "1", "--out", tmp_path / "run"]
    ends_with_one_line(capsys, message, train_main, [*flags, *arguments])
    assert DemoStore.open(demos).num_episodes == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diffusion", "--family.steps", "200"], "diffusion: steps 200 must be in 1..100"),
        (["flow", "transformer", "--backbone.width", "30"], "width 30 is not a multiple of num_heads 4"),
        (["vae"], "vae"),
        (["flow", "--stepz", "3"], "--stepz"),
        (["flow", "mlp", "--env.timeout", "0"], "--env.timeout 0 must be a number of seconds above 0"),
    ],
)
def test_what_the_command_line_refuses(capsys, train_main, arguments, message):
    """tyro reports these, in a box."""
    with pytest.raises(SystemExit) as caught, user_errors():
        train_main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is no run"),
        (["RUN", "--episodes", "0"], "--episodes 0 must be in 1..1000000"),
        (["RUN", "--checkpoint", "7"], "has no checkpoint '7'; it has: 00000020"),
        (["RUN", "--steps", "0"], "flow: steps 0 must be at least 1"),
        (["RUN", "--exec-horizon", "0"], "exec_horizon 0 must be in 1..16"),
        (["RUN", "--exec-horizon", "99"], "exec_horizon 99 must be in 1..16"),
        (["RUN", "--ensembling", "-1"], "ensembling -1.0 must not be negative"),
        (["RUN", "--delay", "9"], "delay 9 must be in 0..8"),
        (["RUN", "--env.id", "Nothing-v0"], "environment Nothing-v0: "),
        (["RUN", "--env.id", "no_such_package:X-v0"], "environment no_such_package:X-v0: "),
        (
            ["RUN", "--env.id", "CartPole-v1"],
            "environment CartPole-v1: actions must be a Box of floats, they are Discrete",
        ),
        (
            ["RUN", "--env.id", "envs:robolearn/PushT-v0"],
            "the environment's 'state' has shape (5,), the policy expects (4,)",
        ),
    ],
)
def test_what_eval_cannot_do(trained, capsys, eval_main, arguments, message):
    arguments = [str(trained) if a == "RUN" else a for a in arguments]
    ends_with_one_line(capsys, message, eval_main, [*arguments, "--device", "cpu", "--threads", "1"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("train", ["--dataset.path", "nowhere.zarr"], "error: nowhere.zarr: no such file or directory"),
        (
            "eval",
            ["RUN", "--sampler", "ddim"],
            "error: flow sampler 'ddim' is unknown; choose from euler, heun",
        ),
    ],
)
def test_errors_of_the_real_commands(trained, name, arguments, message):
    done = command(name, *[trained if a == "RUN" else a for a in arguments])
    assert done.returncode == 2
    assert done.stderr.splitlines() == [message]


@pytest.mark.parametrize("name", ["train", "eval"])
def test_help_names_the_choices(name, train_main, eval_main, capsys):
    with pytest.raises(SystemExit) as caught:
        {"train": train_main, "eval": eval_main}[name](["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in {"train": ("diffusion", "regression", "--steps"), "eval": ("--sampler", "RUN")}[name]:
        assert word in text
