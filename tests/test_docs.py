"""The documentation's Python runs, its commands are understood, and its intervals are those of the result files."""

import importlib
import json
import math
import os
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from robolearn.commands.main import main
from robolearn.paths import place_of
from robolearn.policies.registry import FAMILIES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "datasets" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+)\.py\n")  # first line of a block that the reader saves
DEMOS = """
import dataclasses
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode
states = np.random.default_rng(0).normal(0.01, 0.01, (8, 21, 4)).cumsum(1).astype(np.float32)
episodes = [Episode({"state": state}, state[:, :2]) for state in states]
attrs = StoreAttrs(env_id="envs:robolearn/Avoid-v0", control_dt=0.05, obs_keys=("state",))
"""

# Page -> what its Python takes for granted.
GIVEN = {
    "docs/dynamics.md": """
import torch
rng, folder = np.random.default_rng(0), Path("model")
states, actions = rng.standard_normal((60, 4)), rng.standard_normal((60, 1))
next_states = states + 0.1 * rng.standard_normal((60, 4))
asked, executed = torch.zeros(5, 3, 4), torch.zeros(5, 3, 1)
generator, state, plans = torch.Generator().manual_seed(0), torch.zeros(4), torch.zeros(2, 15, 1)
low, high = torch.tensor([-1.0]), torch.tensor([1.0])
reward = lambda before, actions, after: -after.square().sum(-1)
""",
    "docs/environments.md": "import gymnasium",
    "docs/how-to/deploy.md": DEMOS
    + """
import robolearn as rl
DemoWriter.create(Path("demos.zarr"), attrs=attrs).extend(episodes)
data = rl.DatasetConfig((Path("demos.zarr"),))
run = rl.train(rl.TrainConfig(dataset=data, steps=2, wandb=False, device="cpu", batch_size=8, out=Path("run")))
rl.deploy_run(run, rl.DeployConfig(out=Path("robot")))
""",
    "docs/how-to/pretrain.md": """
import torch
from robolearn.representation.config import PretrainConfig
from robolearn.representation.representation import PretrainFacts, Representation
from robolearn.nets.pretrained import CamerasConfig
images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8))
states, cfg = np.random.default_rng(0).standard_normal((40, 2)), PretrainConfig("demos.zarr")
Path("runs/eyes").mkdir(parents=True)
eyes = Representation(cfg, CamerasConfig(cfg.vision, {"image": (16, 16, 3)}))
eyes.save(Path("runs/eyes"), PretrainFacts(cfg, "", (0,), (1,), 0))
""",
    "docs/how-to/translate.md": """
import torch
from robolearn.translation import labels
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.translator import Translator, TranslatorFacts
labels.STEPS, rng = 2, np.random.default_rng(0)  # what is read is of no interest here
plain_images, real_images, heldout_images = rng.integers(0, 256, (3, 9, 32, 32, 3), dtype=np.uint8)
plain_places, real_places, heldout_places = rng.standard_normal((3, 9, 3))
cfg = TranslatorConfig("plain.zarr", "real.zarr", "runs/real", CycleGANConfig("dcgan", 8))
Path("runs/real").mkdir(parents=True)
Translator(TranslatorFacts(cfg, {"image": (32, 32, 3)}, {}, 1)).save(Path("runs/real"))
""",
    "docs/how-to/network.md": """
import onnx
from onnx import helper, numpy_helper
ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in "xy"]
weights = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "net", ends[:1], ends[1:], [weights])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "NET.onnx")
declared = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1"))
Path("P.vnnlib").write_text(declared + "(assert (and (<= 0 X_0 1) (<= 0 X_1 1) (>= Y_0 2)))")
""",
    "docs/simulator.md": DEMOS
    + """
import dataclasses, torch, robolearn as rl
episodes = [rl.Episode(e.obs, e.actions, {"success": i % 2 == 0, "ended": True}) for i, e in enumerate(episodes * 20)]
for name in ("datasets/avoid.zarr", "a.zarr"):
    DemoWriter.create(Path(name), attrs=attrs).extend(episodes)
tiny = rl.TrainConfig(
    dataset=rl.DatasetConfig((Path("a.zarr"),)), steps=1, wandb=False, device="cpu", batch_size=8
)
for name in ("a", "b"):
    rl.train(dataclasses.replace(tiny, out=Path("runs") / name))
generator, state = torch.Generator().manual_seed(0), torch.zeros(4)
low, high = -torch.ones(2), torch.ones(2)
reward = lambda before, actions, after: -after.square().sum(-1)
""",
    "docs/perception.md": """
import torch
rng, folder = np.random.default_rng(0), Path("ensemble")
images, values = rng.integers(0, 256, (6, 2, 96, 96, 3), dtype=np.uint8), rng.standard_normal((6, 3))
frames = images[0]
""",
    "README.md": DEMOS
    + """
DemoWriter.create(Path("datasets/avoid.zarr"), attrs=attrs).extend(episodes)
""",
    "docs/python.md": DEMOS
    + """
DemoWriter.create(Path("demos.zarr"), attrs=attrs).extend(episodes)
""",
    "docs/how-to/compare.md": DEMOS
    + """
DemoWriter.create(Path("demos.zarr"), attrs=attrs).extend(episodes)
import robolearn as rl
tiny = rl.TrainConfig(dataset=rl.DatasetConfig((Path("demos.zarr"),)), steps=1, wandb=False, device="cpu", batch_size=8)
for name in ("old", "new"):
    rl.train(dataclasses.replace(tiny, out=Path("runs") / name))
""",
    "docs/safety.md": """
rng = np.random.default_rng(0)
calibration_scores, new_scores = rng.random(50), rng.random(10)
scores_of_successes, scores_of_failures = rng.random(50), 2 + rng.random(50)
scores, lengths, success = rng.random((20, 9)), np.full(20, 9), np.arange(20) < 15
""",
}
# What makes it short.
SHORTER = {
    "PlannerConfig()": "PlannerConfig(horizon=2)",
    'avoid", history=1)': 'avoid", history=1, steps=2, ending_steps=2, batch_size=8)',
    "AccuracyConfig(horizons=(1, 10))": "AccuracyConfig(horizons=(1, 10), ensemble_steps=2, samples=2)",
    "RankConfig(episodes=100)": "RankConfig(episodes=2, max_episode_steps=9)",
    "FitConfig(steps=1000)": "FitConfig(steps=2)",
    'PlanConfig(rl.EnvConfig("Pendulum-v1"), "runs/pendulum", trials=5)': (
        'PlanConfig(rl.EnvConfig("Pendulum-v1", max_episode_steps=3), "runs/pendulum", trials=1, fit_steps=2)'
    ),
    "FitConfig(steps=1200)": "FitConfig(steps=2, batch_size=4)",
    "num_envs=32": "num_envs=2",
    "range(300)": "range(6)",
    "mode_entropy:.3f": "mode_entropy",  # none without a success
    "steps=2_000": "steps=2, wandb=False, device='cpu', batch_size=8",
    "margin=0.05": "margin=0.05, max_episodes=2, env=rl.EnvConfig(max_episode_steps=3), device='cpu'",
    "EvalConfig(episodes=200, env": "EvalConfig(episodes=2, device='cpu', env",
    "EvalConfig(episodes=200)": "EvalConfig(episodes=2, videos=0, env=rl.EnvConfig(max_episode_steps=3), device='cpu')",
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def with_python() -> list[Path]:
    return [page for page in PAGES if FENCED.search(page.read_text())]


@pytest.fixture
def registries_of_before(scores_of_before):
    """What a page registers is gone after it, and so are the modules that it saved."""
    from gymnasium.envs.registration import registry

    from robolearn.formats.registry import FORMATS
    from robolearn.policies.registry import BACKBONES

    kept: list[tuple[dict, dict]] = [(r, dict(r)) for r in (BACKBONES, FAMILIES, FORMATS)]
    yield
    for now, before in kept:
        now.clear()
        now.update(before)
    saved = saved_files()
    for name in [n for n, spec in registry.items() if getattr(spec.entry_point, "__module__", None) in saved]:
        del registry[name]
    for name in saved:
        sys.modules.pop(name, None)


def saved_files() -> dict[str, str]:
    """Name of a module -> the block that a page tells the reader to save under that name."""
    blocks = [block for page in PAGES for block in FENCED.findall(page.read_text())]
    return {name[1]: block for block in blocks if (name := FILE.match(block))}


LEARNS = ROOT / "docs" / "simulator.md"  # for seconds


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.long) if page == LEARNS else page for page in with_python()],
    ids=name_of,
)
def test_python_runs(page, tmp_path, monkeypatch, registries_of_before):
    """All blocks of a page, one after the other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "datasets").mkdir()
    names: dict = {}
    exec(f"from pathlib import Path\n\nimport numpy as np\n{GIVEN.get(name_of(page), '')}", names)
    for block in FENCED.findall(page.read_text()):
        for long, short in SHORTER.items():
            block = block.replace(long, short)
        if saved := FILE.match(block):
            Path(f"{saved[1]}.py").write_text(block)
            importlib.import_module(saved[1])
        else:
            exec(compile(block, name_of(page), "exec"), names)
    for name in ("env", "envs"):
        if name in names:
            names[name].close()


@pytest.mark.slow
def test_the_tutorial_runs_with_its_commands(tmp_path, monkeypatch, registries_of_before):
    """From top to bottom as a reader would, with half of the training and fewer episodes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    shorter = {"2_000": "1_000", "2000": "1000", "episodes=200": "episodes=20"}
    added = {"calibrate": " --episodes 60 --alpha 0.5", "eval.py": " --episodes 5"}
    text, names = (ROOT / "docs" / "tutorial.md").read_text(), {}
    ran = []
    for block, command in re.findall(
        r"^```python\n(.*?)^```|^ {4}(python [^\n]*)", text, flags=re.MULTILINE | re.DOTALL
    ):
        for long, short in shorter.items():
            block, command = block.replace(long, short), command.replace(long, short)
        if saved := FILE.match(block):
            Path(f"{saved[1]}.py").write_text(block)
        elif block:
            exec(compile(block, "tutorial", "exec"), names)
        else:
            command += "".join(more for word, more in added.items() if word in command)
            words = [str(ROOT / word) if word.endswith(".py") else word for word in shlex.split(command)[1:]]
            done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            ran.append(command)
    assert len(ran) == 5
    assert (tmp_path / "runs" / "reach" / "eval" / "report.html").is_file()
    assert names["info"]["success"] or names["info"]["score"] > 0


def test_python_stands_in_fences():
    """Where it is found and run."""
    for page in PAGES:
        outside = FENCED.sub("", page.read_text())
        assert not re.search(r"^ *(from [\w.]+ )?import \w", outside, flags=re.MULTILINE), name_of(page)


# Commands

STARTS = (
    "python train.py",
    "python eval.py",
    "python -m robolearn",
    "python -m benchmarks.",
    "python -m tests.",
    "make ",
)


def commands(text: str) -> list[str]:
    """Those that stand in lines of their own, those within sentences, and those of result files."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
    lines = re.findall(r"^ {4}(\S.*)$", text, flags=re.MULTILINE)
    snippets = [re.sub(r"\s+#.*", "", line).replace(".venv/bin/", "") for line in lines]
    snippets += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]
    return [command for command in snippets if command.startswith(STARTS)]


def recorded(value: object) -> list[str]:
    """Commands in a result file."""
    if isinstance(value, list):
        return [command for item in value for command in recorded(item)]
    if not isinstance(value, dict):
        return []
    own = [part for part in str(value.get("command", "")).split(" && ") if part.startswith(STARTS)]
    return own + [command for item in value.values() for command in recorded(item)]


def all_commands() -> list[str]:
    command_lines = [command for page in PAGES for command in commands(page.read_text())]
    for path in sorted((ROOT / "docs" / "results").glob("*.json")):
        command_lines += recorded(json.loads(path.read_text()))
    # What stands for something else, and runs that have to be there.
    return sorted({command for command in command_lines if not re.search(r"\[|\.\.\.|--resume|STUDY", command)})


class Parsed(BaseException):
    """The arguments were understood; nothing was done."""


WORK = (
    "robolearn.training.train.train",
    "robolearn.evaluation.evaluate.evaluate",
    "robolearn.evaluation.calibrate.calibrate",
    "robolearn.cluster._connect",
    "robolearn.evaluation.compare.compare",
    "robolearn.evaluation.heldout.compare_with_heldout",
    "robolearn.evaluation.deploy.deploy_run",
    "robolearn.evaluation.deploy.check_deployed",
    "robolearn.evaluation.verify.verify_network",
    "robolearn.evaluation.sweep.sweep",
    "robolearn.data.collect.collect",
    "robolearn.generation.generate.generate",
    "robolearn.planning.plan.plan",
    "robolearn.representation.pretrain.pretrain",
    "robolearn.simulator.learn.learn_simulator",
    "robolearn.simulator.accuracy.measure_accuracy",
    "robolearn.simulator.rank.rank_runs",
    "robolearn.translation.train.train_translator",
    "robolearn.translation.apply.translate",
    "robolearn.data.store.DemoStore.open",  # whose episodes are counted for the bar
    "robolearn.doctor.account.inspect",
    "robolearn.commands.import_.import_demos",
    "robolearn.commands.export.export_demos",
    "robolearn.commands.bench.Options.comparison",
)


@pytest.fixture
def only_parse(monkeypatch):
    """No command does anything once its arguments are parsed and its configuration is made."""
    import argparse

    def stop(*args, **kwargs):
        raise Parsed

    def stop_after(parse):
        def parsed(*args, **kwargs):
            parse(*args, **kwargs)
            raise Parsed

        return parsed

    monkeypatch.setattr("robolearn.remote.sync.fetched", place_of)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop_after(argparse.ArgumentParser.parse_args))
    for work in WORK:
        pkgutil.resolve_name(work)  # a module that is imported when one is replaced keeps what stands in its place
    for work in WORK:
        monkeypatch.setattr(work, stop)


@pytest.mark.parametrize("command", all_commands())
def test_commands_are_understood(command, only_parse, monkeypatch, tmp_path, registries_of_before):
    words = shlex.split(command)
    for name, block in saved_files().items():
        (tmp_path / f"{name}.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        signs = {"target": ":(?!=)", "variable": ":="}
        known = {what: set(re.findall(rf"^([\w-]+) ?{sign}", makefile, re.MULTILINE)) for what, sign in signs.items()}
        assert {word for word in words[1:] if "=" not in word} <= known["target"]
        assert {word.partition("=")[0] for word in words[1:] if "=" in word} <= known["variable"]
        return
    monkeypatch.chdir(ROOT)
    is_module = words[1] == "-m"
    monkeypatch.setattr(sys, "argv", words[2:] if is_module else words[1:])
    with pytest.raises(Parsed):
        runpy.run_path(str(source(words[2]) if is_module else ROOT / words[1]), run_name="__main__")


def source(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def test_a_command_with_an_unknown_option_is_not_understood(only_parse, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks.conformal", "--nonsense"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "benchmarks" / "conformal.py"), run_name="__main__")
    with pytest.raises(SystemExit):
        main(["bench", "triangle", "--nonsense", "1"])


# Numbers

INTERVAL = re.compile(r"([+-]?\d+\.?\d*) \[([+-]?\d+\.?\d*), ([+-]?\d+\.?\d*)\]")
# Pages whose intervals all come from result files. Other pages also quote what is in no file.
RECOMPUTED = ("README.md",)


def triples(value: object) -> list[tuple[float, ...]]:
    """Everything in a result file that is a value with an interval."""
    if isinstance(value, list):
        own = [tuple(value)] if len(value) == 3 and all(isinstance(x, int | float) for x in value) else []
        return own + [triple for item in value for triple in triples(item)]
    if not isinstance(value, dict):
        return []
    ends = (value.get("low"), value.get("high"))
    own = [
        (value[key], *ends)
        for key in ("value", "success", "covered")
        if all(isinstance(x, int | float) for x in (value.get(key), *ends))
    ]
    return own + [triple for item in value.values() for triple in triples(item)]


@pytest.mark.parametrize("page", RECOMPUTED)
def test_intervals_are_those_of_the_result_files(page):
    known = [t for path in (ROOT / "docs" / "results").glob("*.json") for t in triples(json.loads(path.read_text()))]
    for shown in INTERVAL.findall((ROOT / page).read_text()):
        digits = len(shown[0].partition(".")[2])
        wanted = [float(number) for number in shown]
        assert any(
            all(math.isclose(round(x, digits), y, abs_tol=1e-9) for x, y in zip(t, wanted, strict=True)) for t in known
        ), f"{page}: {shown}"
