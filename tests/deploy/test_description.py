"""policy.json says what the policy is, and the guide explains it."""

import json
from pathlib import Path

import pytest

from robolearn.deploy.check import Check
from robolearn.deploy.directory import RUNTIME_FILE

pytest.importorskip("onnxruntime")


def test_policy_json_says_what_the_policy_is(deployed):
    facts = json.loads((deployed / "policy.json").read_text())
    assert (facts["obs_horizon"], facts["action_horizon"], facts["control_dt"]) == (1, 4, 0.05)
    assert facts["observations"]["state"]["shape"] == [4]
    assert facts["execution"]["exec_horizon"] == 2
    assert facts["sampler"]["steps"] == facts["sampler"]["evaluations"] == 20
    assert set(facts["files"]) == {"sampler-1.onnx", "reference.npz", RUNTIME_FILE}
    assert Check.read(deployed).is_equal


def test_the_guide_explains_every_entry_of_the_description(deployed):
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "deploy.md").read_text()
    facts = json.loads((deployed / "policy.json").read_text())
    assert [name for name in facts if f"`{name}`" not in guide] == []
    assert facts["observations"] == {"state": {"input": "obs0", "shape": [4], "dtype": "float32"}}
