"""A directory that was changed, damaged or made to open something else is refused in one line."""

import json

import pytest

from robolearn.commands.main import main
from robolearn.deploy import runtime
from robolearn.deploy.directory import RUNTIME_FILE, sha256
from tests.deploy.changes import change, rewrite

pytest.importorskip("onnxruntime")
DAMAGES = {
    "weights": (lambda d: change(d / "sampler-1.onnx", b"\x00", b"\x01"), "sampler-1.onnx: changed since"),
    "observations": (lambda d: (d / "reference.npz").write_bytes(b""), "reference.npz: changed since"),
    "runtime": (lambda d: change(d / RUNTIME_FILE, b"torch", b"Torch"), f"{RUNTIME_FILE}: changed since"),
    "gone": (lambda d: (d / "sampler-1.onnx").unlink(), "sampler-1.onnx: missing"),
    "execution": (
        lambda d: change(d / "policy.json", b'"exec_horizon": 2', b'"exec_horizon": 1'),
        "policy.json: changed since",
    ),
    "version": (
        lambda d: change(d / "policy.json", b'"version": 1', b'"version": 2'),
        "version 2, this runtime reads 1",
    ),
    "no policy.json": (lambda d: (d / "policy.json").unlink(), "is no deployed policy: it has no policy.json"),
    "half of it": (lambda d: (d / "policy.json").write_text('{"version": 1'), "policy.json: damaged"),
    "a list": (lambda d: (d / "policy.json").write_text("[1]"), "policy.json: damaged"),
    "lists in lists": (lambda d: (d / "policy.json").write_text("[" * 100_000), "policy.json: damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_directory_is_refused_in_one_line(run, deployed, capsys, damage):
    spoil, message = DAMAGES[damage]
    spoil(deployed)
    with pytest.raises(runtime.RefusedError, match=message) as error:
        runtime.Agent(deployed)
    assert "\n" not in str(error.value)
    with pytest.raises(SystemExit) as end:
        main(["deploy", "--check", str(deployed)])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_files_elsewhere_are_not_opened(deployed):
    for files in ({"../policy.json": "0" * 64}, {}):
        rewrite(deployed, files=files)
        with pytest.raises(runtime.RefusedError, match="names files that do not belong to it"):
            runtime.Policy(deployed)


def test_a_network_that_is_none_is_refused_in_one_line(deployed):
    (deployed / "sampler-1.onnx").write_bytes(b"no\nnetwork")
    facts = json.loads((deployed / "policy.json").read_text())
    rewrite(deployed, files=facts["files"] | {"sampler-1.onnx": sha256(deployed / "sampler-1.onnx")})
    with pytest.raises(runtime.RefusedError, match=r"sampler-1.onnx: onnxruntime [\d.]+ refuses it") as error:
        runtime.Agent(deployed)
    assert "\n" not in str(error.value)
