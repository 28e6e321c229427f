"""A robot's images become what those of the demonstrations became, in the runtime as in robolearn."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robolearn.deploy import runtime
from robolearn.deploy.directory import describe, write_directory
from robolearn.images import ImageLayout
from robolearn.policies.policy import Policy
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.execution import Execution

pytest.importorskip("onnxruntime")
LAYOUTS = {
    "plain": (ImageLayout(), np.uint8),
    "channels first": (ImageLayout("chw"), np.uint8),
    "floats": (ImageLayout("hwc", 0.0, 1.0), np.float32),
    "signed floats, channels first": (ImageLayout("chw", -1.0, 1.0), np.float64),
    "words": (ImageLayout("hwc", 0.0, 65535.0), np.uint16),
    "depth": (ImageLayout("hw", 0.3, 2.5, is_depth=True), np.float32),
}


def deploy(policy, directory, episodes, act):
    policy.save(directory / "checkpoint")
    execution = Execution(exec_horizon=2)
    facts = describe(policy, execution, directory / "checkpoint") | {"seed": 0, "observed": "these"}
    write_directory(directory / "robot", policy, facts, "onnx", [1], episodes, act)
    return directory / "robot"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_deployed_policy_takes_images_as_they_were_recorded(make_policy, tmp_path, layout):
    how, dtype = LAYOUTS[layout]
    seen = (32, 40, 1 if how.axes == "hw" else 3)
    policy = make_policy(RegressionConfig(), obs_shapes={"camera": seen}, obs_horizon=1)
    if not how.is_plain:
        policy = Policy(dataclasses.replace(policy.cfg, images={"camera": how}), policy.normalizer).eval()
    rng = np.random.default_rng(0)
    image = (how.low + (how.high - how.low) * rng.random(how.shape(seen))).astype(dtype)
    expected_image = how.read(image, seen)
    with torch.no_grad():
        expected = policy.act({"camera": torch.from_numpy(expected_image[None, None])}, torch.zeros(1, 0))[0, 0]
    directory = deploy(policy, tmp_path, [{"camera": expected_image[None]}], lambda _, seen: np.zeros((len(seen), 2)))
    agent = runtime.Agent(directory)
    told = agent.facts["observations"]["camera"]
    assert (told["shape"], told["dtype"]) == (list(seen), "uint8")
    assert (told["axes"], told["low"], told["high"]) == ("hwc", 0, 255)
    if how.is_plain:
        assert "recorded" not in told
    else:
        assert told["recorded"] == dataclasses.asdict(how) | {"shape": list(image.shape)}
    for given_image in (image, expected_image):
        agent.reset()
        np.testing.assert_allclose(agent.act({"camera": given_image}), expected, rtol=0, atol=1e-5)
    agent.reset()
    with pytest.raises(runtime.RefusedError, match="'camera'"):
        agent.act({"camera": np.zeros((7, 7, 3), np.float32)})


@settings(max_examples=40)
@given(
    image=hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-1.25, 3.5, width=32)),
    axes=st.sampled_from(["hwc", "chw"]),
    is_depth=st.booleans(),
)
def test_images_become_what_they_became(image, axes, is_depth):
    how = ImageLayout(axes, -1.0, 3.0, is_depth)
    recorded = dataclasses.asdict(how)
    try:
        expected = how.convert(image)
    except ValueError:
        with pytest.raises(runtime.RefusedError, match=r"beyond -1 \.\. 3"):
            runtime.seen_image("camera", image, recorded)
        return
    np.testing.assert_array_equal(runtime.seen_image("camera", image, recorded), expected)
