"""The names that `import robolearn` offers: cheap to import, all there, and the same for people and type checkers."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import robolearn


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
GPU: Any = "gpu"


@pytest.mark.parametrize(
    "call",
    [
        lambda: robolearn.train(robolearn.TrainConfig(device=GPU)),
        lambda: robolearn.evaluate(RUN, robolearn.EvalConfig(device=GPU)),
        lambda: robolearn.calibrate(RUN, robolearn.CalibrateConfig(device=GPU)),
        lambda: robolearn.compare(RUN, RUN, robolearn.CompareConfig(device=GPU)),
        lambda: robolearn.compare_with_heldout(RUN, robolearn.ActConfig(device=GPU)),
        lambda: robolearn.deploy_run(RUN, robolearn.DeployConfig(device=GPU)),
        lambda: robolearn.Agent(RUN, robolearn.ActConfig(device=GPU)),
        lambda: robolearn.sweep(robolearn.SweepConfig(("avoid",), device=GPU)),
        lambda: robolearn.learn_simulator(robolearn.SimulatorConfig("a.zarr", "b", device=GPU)),
        lambda: robolearn.rank_runs("a", "b", robolearn.RankConfig(device=GPU)),
        lambda: robolearn.pretrain(robolearn.PretrainConfig("a.zarr", device=GPU)),
        lambda: robolearn.train_translator(robolearn.TranslatorConfig("a.zarr", "b.zarr", "c", device=GPU)),
    ],
)
def test_a_device_that_there_is_not_is_refused_by_every_function(call):
    with pytest.raises(robolearn.UserError, match=r"Config\.device: expected one of .*cpu.*, found 'gpu'"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: robolearn.verify_run(RUN, robolearn.ClaimConfig(claim=wrong)),
        lambda wrong: robolearn.verify_network("a.onnx", "b.vnnlib", robolearn.VerifyConfig(precision=wrong)),
        lambda wrong: robolearn.plan(robolearn.PlanConfig(robolearn.EnvConfig("a:b"), "out", model=wrong)),
        lambda wrong: robolearn.import_demos("a", "b.zarr", "npz", robolearn.ImportOptions(video=wrong)),
        lambda wrong: robolearn.export_demos("a.zarr", "b", "npz", robolearn.ExportOptions(images=wrong)),
    ],
)
def test_a_word_that_chooses_nothing_is_refused_by_every_function(call):
    with pytest.raises(robolearn.UserError, match=r"expected one of .*, found 'nothing'"):
        call("nothing")


def test_numbers_of_another_kind_are_refused_before_any_work():
    half: Any = 2.5
    for call in (
        lambda: robolearn.measure_accuracy("a", robolearn.AccuracyConfig(samples=half)),
        lambda: robolearn.generate("a.zarr", 1, "b.zarr", robolearn.GenerateConfig(tries=half)),
    ):
        with pytest.raises(robolearn.UserError, match=r"expected int, found 2\.5"):
            call()
