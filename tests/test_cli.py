"""The verbs, as typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from robolearn.commands.main import PATHS, VERBS, main
from robolearn.commands.simulator import ACTIONS
from robolearn.data.store import DemoStore

ROOT = Path(__file__).parents[1]
LINE = "tests.data.line_env:test/Line-v0"


def fails(capsys, *arguments, code=2):
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    assert caught.value.code == code
    return capsys.readouterr().err


def test_collect_inspect(tmp_path, capsys):
    out = tmp_path / "line.zarr"
    main(["collect", LINE, "--episodes", "4", "--out", str(out), "--num-envs", "3", "--seed", "2"])
    assert "4 episodes; 1 attempts of the expert dropped" in capsys.readouterr().out.replace("\n", " ")
    assert DemoStore.open(out).episode_attrs["seed"].tolist() == [2, 3, 5, 6]
    main(["collect", LINE, "--episodes", "5", "--out", str(out), "--seed", "2"])
    assert "4 of them there before" in capsys.readouterr().out.replace("\n", " ")
    fails(capsys, "inspect", out, code=0)


def test_collect_takes_the_environments_arguments(tmp_path, capsys):
    """As JSON or as plain words; the store keeps them, and `inspect` shows them."""
    out = tmp_path / "avoid.zarr"
    main(["collect", "envs:robolearn/Avoid-v0", "--episodes", "2", "--out", str(out), "--env.kwargs", "look", "random"])
    assert DemoStore.open(out).attrs.env_kwargs == {"look": "random"}
    wrong = "collect", "envs:robolearn/Avoid-v0", "--out", tmp_path / "x.zarr", "--env.kwargs", "look", '"sunny"'
    assert "look='sunny' is unknown; choose from real, random" in fails(capsys, *wrong)
    with pytest.raises(SystemExit):
        main(["inspect", str(out)])
    assert "made with    look random" in capsys.readouterr().out


def test_user_errors_are_one_line(tmp_path, capsys):
    (tmp_path / "junk").write_bytes(b"junk")
    for arguments in [
        ("inspect", tmp_path / "absent.zarr"),
        ("inspect", tmp_path / "junk"),
        ("import", "adroit", tmp_path / "junk", "--out", tmp_path / "x.zarr"),
        ("collect", "tests.data.line_env:test/Expertless-v0", "--out", tmp_path / "x.zarr"),
        ("collect", LINE, "--out", "/proc/x.zarr"),
    ]:
        error = fails(capsys, *arguments)
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "a", "b", "--out", ""), "the path after --out is empty; name a file or folder"),
        (("export", "npz", "a", "--out="), "the path after --out is empty"),
        (("eval", "a", "--record_interventions", " "), "the path after --record_interventions is empty"),
        (("train", "flow", "--dataset.path", ""), "the path after --dataset.path is empty"),
        (("heldout", ""), "argument 1 is empty; is it a variable that is not set?"),
        (("import", "auto", "", "--out", "x.zarr"), "argument 2 is empty"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    error = fails(capsys, *arguments)
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


# What shows flags: all verbs but the one that does several things.
HELPED = [*(verb for verb in VERBS if verb != "simulator"), *(f"simulator {name}" for name in ACTIONS)]


@pytest.mark.parametrize("verb", HELPED)
def test_every_flag_that_takes_a_path_is_known(verb, capsys):
    with pytest.raises(SystemExit):
        main([*verb.split(), "--help"])
    flags = re.findall(r"(--[a-z.-]+) (?:\{None\}\|)?\[?PATH", capsys.readouterr().out)
    assert set(flags) <= set(PATHS)
    assert flags or verb in ("calibrate", "heldout", "simulator accuracy")


def test_inspect_of_a_damaged_store_exits_1(tmp_path, capsys):
    out = tmp_path / "line.zarr"
    main(["collect", LINE, "--episodes", "2", "--out", str(out)])
    next((out / "data" / "state").rglob("c/0/*")).unlink()
    fails(capsys, "inspect", out, code=1)


@pytest.mark.parametrize(
    ("flags", "choices"),
    [
        (("--task", "nope"), "unknown task 'nope'; choose from avoid, "),
        (("--rows", "flow", "nope"), "unknown row 'nope'; choose from regression, "),
        (("--budget", "nope"), "unknown budget 'nope'; choose from compute, converged"),
        (("--data", "/nowhere"), "/nowhere/avoid.zarr: no such file"),
    ],
)
def test_bench_lists_the_choices(tmp_path, capsys, flags, choices):
    error = fails(capsys, "bench", "triangle", "--runs", tmp_path, *flags)
    assert error.startswith(f"error: {choices}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("verb", HELPED)
def test_help_is_for_people(verb, capsys):
    """A comment for a type checker behind a field is no help."""
    with pytest.raises(SystemExit):
        main([*verb.split(), "--help"])
    assert not re.search("pyright|noqa", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("verb", "heavy"),
    [
        ("collect", ("torch", "zarr", "numpy", "gymnasium")),
        ("inspect", ("torch", "zarr", "numpy", "gymnasium")),
        ("plan", ("torch", "zarr", "numpy", "gymnasium")),
        ("eval", ("torch", "zarr", "gymnasium", "matplotlib")),
        ("calibrate", ("torch", "zarr", "gymnasium", "matplotlib")),
        ("train", ("zarr", "gymnasium", "wandb", "matplotlib")),  # families are networks: torch is needed to list them
    ],
)
def test_help_imports_nothing_heavy(verb, heavy):
    code = (
        "import sys\nfrom robolearn.commands.main import main\n"
        f"try: main(['{verb}', '--help'])\n"
        f"except SystemExit: print([m for m in {heavy} if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert out.stdout.splitlines()[-1] == "[]", out.stdout + out.stderr
