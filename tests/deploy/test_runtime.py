"""The runtime stands alone, checks itself, and refuses observations that do not fit."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from robolearn.deploy import runtime
from robolearn.deploy.directory import RUNTIME_FILE

pytest.importorskip("onnxruntime")


def test_neither_torch_nor_robolearn_is_needed(deployed, tmp_path):
    away = shutil.copytree(deployed, tmp_path / "robot")
    code = f"""
import sys
sys.path = [p for p in sys.path if p]
sys.modules["torch"] = sys.modules["robolearn"] = None  # importing them fails
sys.path.insert(0, {str(away)!r})
import numpy as np
from robolearn_runtime import Agent
agent = Agent({str(away)!r})
agent.reset()
print(agent.act({{"state": np.zeros(4)}}).tolist())
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    agent = runtime.Agent(deployed)
    agent.reset()
    np.testing.assert_array_equal(json.loads(done.stdout), agent.act({"state": np.zeros(4)}).astype(float))


def test_the_runtime_checks_itself(deployed):
    done = subprocess.run([sys.executable, str(deployed / RUNTIME_FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("largest difference of 20 actions: ")


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ({}, "observation 'state' is missing"),
        ({"state": np.zeros(3)}, r"'state' has shape \(3,\), the policy was trained on \(4,\)"),
        ({"state": np.full(4, np.nan)}, "'state' is not finite"),
        ({"state": np.full(4, -1e39)}, "'state' is not finite in single precision"),
        ({"state": np.array([0, None, 0, 0])}, r"'state' holds no numbers, but .* \(object\)"),
        ({"state": np.zeros(4, complex)}, r"'state' holds no numbers, but .* \(complex128\)"),
        ({"state": [[0, 1], [2]]}, "'state' is no array"),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(deployed, observation, message):
    agent = runtime.Agent(deployed)
    agent.reset()
    with pytest.raises(runtime.RefusedError, match=message):
        agent.act(observation)
