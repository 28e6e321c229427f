"""The names that `import robolearn` offers: cheap to import, all there, and the same for people and type checkers."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import robolearn
from tests.unchecked import unchecked


def test_every_name_is_there():
    for name in robolearn.__all__:
        assert getattr(robolearn, name).__name__ == name if callable(getattr(robolearn, name)) else True
    assert set(robolearn.__all__) <= set(dir(robolearn))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(robolearn.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == {name: f"robolearn.{home}" for name, home in robolearn.HOMES.items()}


@pytest.mark.long
def test_programs_elsewhere_are_checked_with_all_types_known(tmp_path):
    """As an editor does it: of the environment it knows where Python is, and of the program what stands in it."""
    shutil.copy(Path(__file__).with_name("typed_program.py"), tmp_path)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'tarin'; it has: .*train"):
        robolearn.tarin  # noqa: B018


def test_the_package_brings_nothing_along():
    code = "import sys, robolearn; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", robolearn.__all__)
def test_what_is_called_has_an_example_or_says_what_it_is(name):
    value = getattr(robolearn, name)
    assert value.__doc__
    if callable(value) and not isinstance(value, type):
        assert f"{name}(" in value.__doc__, "a function shows how it is called"


RUN = robolearn.Run("nowhere")


@pytest.mark.parametrize(
    ("call", "config"),
    [
        (robolearn.train, robolearn.TrainConfig()),
        (lambda cfg: robolearn.evaluate(RUN, cfg), robolearn.EvalConfig()),
        (lambda cfg: robolearn.calibrate(RUN, cfg), robolearn.CalibrateConfig()),
        (lambda cfg: robolearn.compare(RUN, RUN, cfg), robolearn.CompareConfig()),
        (lambda cfg: robolearn.compare_with_heldout(RUN, cfg), robolearn.ActConfig()),
        (lambda cfg: robolearn.deploy_run(RUN, cfg), robolearn.DeployConfig()),
        (lambda cfg: robolearn.Agent(RUN, cfg), robolearn.ActConfig()),
        (robolearn.sweep, robolearn.SweepConfig(("avoid",))),
        (robolearn.learn_simulator, robolearn.SimulatorConfig("a.zarr", "b")),
        (lambda cfg: robolearn.rank_runs("a", "b", cfg), robolearn.RankConfig()),
        (robolearn.pretrain, robolearn.PretrainConfig("a.zarr")),
        (robolearn.train_translator, robolearn.TranslatorConfig("a.zarr", "b.zarr", "c")),
    ],
)
def test_a_device_that_there_is_not_is_refused_by_every_function(call, config):
    with pytest.raises(robolearn.UserError, match=r"Config\.device: expected one of .*cpu.*, found 'gpu'"):
        call(unchecked(config, device="gpu"))


@pytest.mark.parametrize(
    ("call", "config", "field"),
    [
        (lambda cfg: robolearn.verify_run(RUN, cfg), robolearn.ClaimConfig(), "claim"),
        (lambda cfg: robolearn.verify_network("a.onnx", "b.vnnlib", cfg), robolearn.VerifyConfig(), "precision"),
        (robolearn.plan, robolearn.PlanConfig(robolearn.EnvConfig("a:b"), "out"), "model"),
        (lambda cfg: robolearn.import_demos("a", "b.zarr", "npz", cfg), robolearn.ImportOptions(), "video"),
        (lambda cfg: robolearn.export_demos("a.zarr", "b", "npz", cfg), robolearn.ExportOptions(), "images"),
    ],
)
def test_a_word_that_chooses_nothing_is_refused_by_every_function(call, config, field):
    with pytest.raises(robolearn.UserError, match=r"expected one of .*, found 'nothing'"):
        call(unchecked(config, **{field: "nothing"}))


def test_numbers_of_another_kind_are_refused_before_any_work():
    accuracy = unchecked(robolearn.AccuracyConfig(), samples=2.5)
    with pytest.raises(robolearn.UserError, match=r"expected int, found 2\.5"):
        robolearn.measure_accuracy("a", accuracy)
    generation = unchecked(robolearn.GenerateConfig(), tries=2.5)
    with pytest.raises(robolearn.UserError, match=r"expected int, found 2\.5"):
        robolearn.generate("a.zarr", 1, "b.zarr", generation)
