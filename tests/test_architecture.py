"""Who may import whom; see docs/architecture.md."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = ("train.py", "eval.py", "robolearn/commands/main.py", "robolearn/__main__.py", "robolearn/__init__.py")
# Room -> rooms it may import besides itself and those within it; those in COMMON are at hand everywhere.
ALLOWED = {
    "contract": (),
    "types": (),
    "config": (),
    "catalog": (),
    "errors": (),
    "files": (),
    "paths": (),
    "remote": (),
    "modules": (),
    "outdated": (),
    "seeds": (),
    "locks": (),
    "mapper": (),
    "unused": (),
    "cluster": (),
    "images": (),
    "keyentry": (),
    "keymap": (),
    "starts": ("stats",),
    "stats": (),
    "data": (),
    "formats": ("data",),
    "nets": ("data",),
    "policies": ("nets", "data"),
    "rollout": ("policies", "nets/threads", "stats"),
    "trust": ("rollout", "policies", "nets", "data", "stats"),
    "trust/conformal": ("stats",),
    "trust/scores": ("trust/conformal", "policies", "nets", "data"),
    "perception": ("nets", "data"),
    "dynamics": ("nets", "data"),
    "planning": ("dynamics", "rollout", "nets", "data"),
    "representation": ("training", "nets", "data"),
    "translation": ("representation", "perception", "training", "nets", "data"),
    "report": ("rollout", "trust", "stats"),
    "training": ("policies", "nets", "data", "rollout"),
    "generation": ("rollout", "data"),
    "deploy": ("policies", "nets", "rollout"),
    "verify": ("nets", "stats"),
    "verify/policy": ("verify", "policies"),
    "evaluation": (
        "verify",
        "deploy",
        "translation",
        "training",
        "trust",
        "report",
        "rollout",
        "policies",
        "data",
        "stats",
    ),
    "simulator": ("training", "report", "rollout", "dynamics", "policies", "nets", "data", "stats"),
    "doctor": ("training", "report", "rollout", "data"),
    "commands": (
        "verify",
        "representation",
        "translation",
        "generation",
        "planning",
        "simulator",
        "dynamics",
        "doctor",
        "evaluation",
        "training",
        "trust",
        "report",
        "rollout",
        "policies",
        "nets",
        "data",
        "bench",
        "stats",
        "formats",
        "cluster",
    ),
    "bench": ("training", "report", "rollout", "policies", "nets", "data", "stats"),
}
COMMON = {
    "contract",
    "types",
    "catalog",
    "config",
    "errors",
    "files",
    "paths",
    "remote",
    "images",
    "keyentry",
    "keymap",
    "locks",
    "mapper",
    "modules",
    "outdated",
    "seeds",
    "starts",
    "unused",
}
CONTRACT = "robolearn.contract"  # the one file that both sides of the wall may import
ONLY_IN = {
    "mujoco": ("envs/", "robolearn/planning/states.py"),
    "zarr": tuple(f"robolearn/data/{name}.py" for name in ("store", "chunks", "writer", "zarr_v2")),
    "wandb": ("robolearn/training/logger.py",),
    "tyro": ("robolearn/commands/",),
    "fsspec": ("robolearn/remote/storage.py",),
    "ray": ("robolearn/cluster.py",),
    "onnx": ("robolearn/deploy/", "robolearn/verify/formats/"),
    "onnxruntime": ("robolearn/deploy/runtime.py",),
}


def sources():
    paths = [*ROOT.glob("robolearn/**/*.py"), *ROOT.glob("envs/**/*.py"), *ROOT.glob("*.py")]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


def imports(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"robolearn.{a.name}" for a in node.names) if node.module == "robolearn" else (node.module,)


def violations(files):
    """One line per import that goes the wrong way."""
    for path, source in files.items():
        for name in imports(source):
            top, *rest = name.split(".")
            if top in ONLY_IN and not path.startswith(ONLY_IN[top]):
                yield f"{path} imports {top}"
            if {top, path.split("/")[0]} == {"envs", "robolearn"} and not name.startswith(CONTRACT):
                yield f"{path} imports {name}"
            if path.startswith("robolearn/") and path not in COMMANDS and top == "robolearn" and rest:
                room, target = room_of(path.removeprefix("robolearn/").removesuffix(".py")), "/".join(rest)
                if not any(f"{target}/".startswith(f"{one}/") for one in (room, *ALLOWED[room], *COMMON)):
                    yield f"{path} imports {name}"


def room_of(module):
    """The innermost room with a rule of its own, trust/scores before trust; a file at the top is a room."""
    parts = module.split("/")
    return next(room for end in (2, 1) if (room := "/".join(parts[:end])) in ALLOWED)


def test_imports_go_one_way():
    assert list(violations(sources())) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("robolearn/nets/mlp.py", "from robolearn.policies.flow import Flow"),
        ("robolearn/policies/flow.py", "import robolearn.training.fit"),
        ("robolearn/rollout/engine.py", "def f():\n    from robolearn.training.run import Run"),
        ("robolearn/nets/mlp.py", "from robolearn import training"),
        ("robolearn/rollout/engine.py", "import envs"),
        ("envs/avoid.py", "from robolearn.types import Batch"),
        ("envs/avoid.py", "from robolearn import contract, types"),
        ("robolearn/contract.py", "from robolearn.data.attrs import StoreAttrs"),
        ("robolearn/rollout/video.py", "import mujoco"),
        ("robolearn/training/fit.py", "import wandb"),
        ("robolearn/data/windows.py", "import zarr.codecs"),
        ("robolearn/config.py", "import tyro"),
        ("robolearn/trust/conformal/bands.py", "from robolearn.trust.gate import Gate"),
        ("robolearn/trust/scores/samples.py", "from robolearn.rollout.streams import episode_stream"),
        ("robolearn/rollout/engine.py", "from robolearn.trust import gate"),
    ],
)
def test_a_wrong_import_is_noticed(path, line):
    assert len(list(violations({path: line}))) == 1


def test_the_contract_needs_numpy_alone():
    """Who writes an environment imports it without torch and gymnasium."""
    tops = {name.split(".")[0] for name in imports((ROOT / "robolearn/contract.py").read_text())}
    assert tops - sys.stdlib_module_names == {"numpy"}


def test_the_runtime_stands_alone():
    """It is copied to robots; what runs the networks is imported when it is first needed."""
    source = (ROOT / "robolearn/deploy/runtime.py").read_text()
    at_once = {name.split(".")[0] for name in imports(ast.unparse(ast.Module(_imports_at_once(source), [])))}
    assert at_once - sys.stdlib_module_names == {"numpy"}
    assert {name.split(".")[0] for name in imports(source)} - sys.stdlib_module_names == {
        "numpy",
        "onnxruntime",
        "torch",
    }


def _imports_at_once(source):
    return [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]


def test_every_room_has_its_rule():
    rooms = {p.stem for p in (ROOT / "robolearn").iterdir() if p.is_dir() and any(p.glob("*.py"))}
    assert rooms <= set(ALLOWED)


def test_statistics_know_nothing_but_numbers():
    """Of ours they take the ledger of seeds alone, of others what is made for numbers."""
    names = {name for path, source in sources().items() if "/stats/" in path for name in imports(source)}
    ours = {name for name in names if name.startswith("robolearn.") and not name.startswith("robolearn.stats.")}
    others = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"robolearn"}
    assert ours == {"robolearn.seeds"}
    assert others == {"numpy", "scipy", "jaxtyping"}


def test_datasets_is_no_package():
    """It would shadow Hugging Face's `datasets`."""
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_importing_the_package_is_cheap():
    code = "import robolearn, sys; print([m for m in ('torch', 'numpy', 'zarr', 'wandb') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert out.stdout.strip() == "[]", out.stderr


LONGEST = 40  # lines of a function, from `def` to its end, docstring included


def long_functions(source):
    """Names of the functions that are longer."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [f.name for f in functions if f.end_lineno - f.lineno >= LONGEST]


def test_no_function_is_too_long_to_see_at_once():
    studies = {path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.glob("benchmarks/**/*.py")}
    long = {path: names for path, source in (sources() | studies).items() if (names := long_functions(source))}
    assert long == {}


def test_a_function_that_is_too_long_is_noticed():
    body = "    x = 1\n" * (LONGEST - 1)
    assert long_functions(f"@decorated\ndef f():\n{body}") == []
    assert long_functions(f"class A:\n  async def f(self):\n{body}\n    x = 1") == ["f"]


def texts_of_the_locale(source):
    """Lines that read or write a text in whatever encoding the locale has."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    texts = [call for call in calls if getattr(call.func, "attr", "") in ("read_text", "write_text")]
    return [call.lineno for call in texts if "utf-8" not in ast.unparse(call)]


def test_texts_are_the_same_in_every_locale():
    """What one machine wrote another one reads, and no name stops a command."""
    assert {path: lines for path, source in sources().items() if (lines := texts_of_the_locale(source))} == {}
    assert texts_of_the_locale("path.write_text(text, encoding='utf-8')\npath.read_text()") == [2]
