"""Every family on every backbone is one graph that gives torch's chunks; so do images, angles, prefixes, symmetries."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.data.symmetry import AffineMap, Symmetry
from robolearn.deploy.directory import acts_alike, describe
from robolearn.deploy.graph import to_graph
from robolearn.deploy.sampler import Sampler, write_network
from robolearn.nets.resnet import norm
from robolearn.nets.vision import VisionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.policy import Policy
from robolearn.policies.registry import FAMILIES
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.rollout.execution import Execution
from tests.policies.test_grid import BACKBONES
from tests.policies.test_grid import FAMILIES as VARIANTS

onnxruntime = pytest.importorskip("onnxruntime")

# Training options make no other sampler.
DEFAULTS = {name: cls() for name, cls in FAMILIES.items()}
SAMPLERS = {
    name: cfg
    for name, cfg in VARIANTS.items()
    if name.startswith(("score", "cvae-act", "mixture", "tokens", "flow-uniform", "diffusion-v", "diffusion-eps-ddim"))
}
SAMPLERS["tokens-focal"] = TokensConfig(num_bins=4, width=8, focal_gamma=2.0, temperature=0.5)
SAMPLERS["tokens-floor"] = TokensConfig(num_bins=4, width=8, min_code_probability=0.24)
SAMPLERS["mixture-floor"] = dataclasses.replace(VARIANTS["mixture-plain"], min_code_probability=0.2)
SAMPLERS["gmm-spread"] = GMMConfig(num_components=3, std_scale=0.5)
SAMPLERS["gp-spread"] = VARIANTS["gp-spread"]


def call(sampler, path, seed):
    """Chunks of torch and of the graph on observations and noise of a seed."""
    generator = torch.Generator().manual_seed(seed)
    given = {}
    for name, example in sampler.inputs.items():
        if example.dtype == torch.uint8:
            given[name] = torch.randint(0, 256, example.shape, generator=generator, dtype=torch.uint8)
        elif example.dtype == torch.int64:
            given[name] = torch.randint(0, 3, example.shape, generator=generator)
        else:
            given[name] = torch.randn(example.shape, generator=generator)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    taken = {one.name for one in session.get_inputs()}
    with torch.no_grad():
        expected = sampler(given).numpy()
    return expected, session.run(None, {name: given[name].numpy() for name in taken})[0]


def assert_same(policy, tmp_path, samples=2):
    sampler = Sampler(policy, samples)
    write_network(sampler, tmp_path / "sampler.onnx", "onnx")
    for seed in range(3):
        expected, chunks = call(sampler, tmp_path / "sampler.onnx", seed)
        assert chunks.shape == (samples, policy.cfg.action_horizon, policy.cfg.action_dim)
        # Actions of a trained policy lie in [-1, 1], where this is 1e-5; these networks are random.
        np.testing.assert_allclose(chunks, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))
    return expected


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("family", DEFAULTS)
def test_every_family_on_every_backbone(make_policy, tmp_path, family, backbone):
    cfg = DEFAULTS[family]
    if any(field.name == "steps" for field in dataclasses.fields(cfg)):
        cfg = dataclasses.replace(cfg, steps=2)
    assert_same(make_policy(cfg, backbone), tmp_path)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler(make_policy, tmp_path, sampler):
    assert_same(make_policy(SAMPLERS[sampler], action_horizon=5), tmp_path, samples=3)


def products(policy):
    """How often each weight is multiplied with in the graph of a sampler, by the weight's shape."""
    sampler = Sampler(policy, 1)
    graph = to_graph(lambda **given: sampler(given), sampler.inputs).graph
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    counts = Counter(node.input[1] for node in graph.node if node.op_type == "Gemm")
    return Counter(shapes[name] for name, count in counts.items() for _ in range(count))


def test_what_does_not_wait_for_a_step_is_computed_for_all_at_once(make_policy):
    """FiLM's scales of 16 -> 32 channels in 2 blocks follow from times and observations; the rest has to wait."""
    counts = products(make_policy(FlowConfig(steps=6)))
    assert counts[16, 32] == 2
    assert counts[8, 16] == 2 + 5  # of observations and of the first chunk: both have 8 numbers; of the other chunks
    assert counts[16, 16] == 2 * 2 * 6
    assert counts[16, 8] == 6


def test_a_horizon_that_the_unet_pads(make_policy, tmp_path):
    assert_same(make_policy(FlowConfig(steps=1), "unet", action_horizon=5), tmp_path)


def test_images_beside_numbers(make_policy, tmp_path):
    shapes = {"state": (3,), "camera": (32, 40, 3), "depth": (32, 32, 1)}
    first = assert_same(make_policy(RegressionConfig(), obs_shapes=shapes), tmp_path)
    assert np.ptp(first) > 0


def test_images_that_are_cropped_and_made_smaller(make_policy, tmp_path):
    """By the network in the file: it takes what was recorded."""
    policy = make_policy(RegressionConfig(), obs_shapes={"camera": (60, 90, 3)})
    cfg = dataclasses.replace(policy.cfg, vision=dataclasses.replace(policy.cfg.vision, crop=(50, 66), resize=(20, 33)))
    first = assert_same(Policy(cfg, policy.normalizer).eval(), tmp_path)
    assert np.ptp(first) > 0


@pytest.mark.parametrize("network", ["resnet18", "resnet18_imagenet"])
def test_a_resnet(make_policy, tmp_path, network):
    policy = make_policy(RegressionConfig(), obs_shapes={"camera": (40, 40, 3)})
    cfg = dataclasses.replace(policy.cfg, vision=VisionConfig(network, width=8, num_keypoints=2, features=4))
    torch.manual_seed(0)
    assert norm(8).num_groups == 1
    assert_same(Policy(cfg, policy.normalizer).eval(), tmp_path)


def test_actions_that_are_known(make_policy, tmp_path):
    assert_same(make_policy(FlowConfig(steps=2), prefix_horizon=2), tmp_path)


def test_chunks_relative_to_where_they_start(make_policy, tmp_path):
    assert_same(make_policy(FlowConfig(steps=2), chunk_frame="relative"), tmp_path)


def test_angles_and_a_symmetry(make_policy, tmp_path):
    policy = make_policy(FlowConfig(steps=2))
    mirror = AffineMap(
        ((-1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)), (0.2, 0.0, 0.0, 0.0)
    )
    symmetry = Symmetry({"state": mirror, "action": AffineMap(((-1.0, 0.0), (0.0, 1.0)), (0.2, 0.0))})
    cfg = dataclasses.replace(policy.cfg, symmetry=symmetry, symmetry_use="canonical", angles={"state": (1,)})
    normalizer = Normalizer.fit({"state": np.random.default_rng(0).random((20, 4)), "action": np.eye(2)})
    assert_same(Policy(cfg, normalizer).eval(), tmp_path)


def test_quaternions(make_policy, tmp_path):
    policy = make_policy(FlowConfig(steps=2), obs_shapes={"pose": (3, 4), "state": (2,)})
    cfg = dataclasses.replace(policy.cfg, quaternions={"pose": (1, 8)}, angles={"pose": (5,)})
    torch.manual_seed(0)
    policy = Policy(cfg, policy.normalizer).eval()
    for parameter in policy.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    assert_same(policy, tmp_path)


def test_a_family_that_cannot_be_deployed_is_named(make_policy, tmp_path, monkeypatch):
    policy = make_policy(FlowConfig(steps=1))
    monkeypatch.setattr(policy.family, "sample", lambda cond, noise: noise * noise.sum().item())
    with pytest.raises(ValueError, match=r"^flow on mlp cannot be deployed: it decides by its own numbers"):
        write_network(Sampler(policy, 1), tmp_path / "sampler.onnx", "onnx")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("family", ["tokens", "cvae", "flow"])
def test_programs_of_torch(make_policy, tmp_path, family, backbone):
    from robolearn.deploy.runtime import load_torch

    cfg = FlowConfig(steps=2) if family == "flow" else DEFAULTS[family]
    sampler = Sampler(make_policy(cfg, backbone), 1)
    write_network(sampler, tmp_path / "sampler.pt2", "torch")
    given = {name: torch.randn(example.shape) for name, example in sampler.inputs.items()}
    chunks = load_torch(tmp_path / "sampler.pt2", 1)({name: value.numpy() for name, value in given.items()})
    with torch.no_grad():
        np.testing.assert_allclose(chunks, sampler(given), rtol=0, atol=1e-5)


def test_a_choice_that_is_newer_than_a_deployment_has_its_default(make_policy, tmp_path):
    """A floor of probabilities is a choice like others: a policy with another one acts otherwise."""
    policy = make_policy(TokensConfig(num_bins=4, width=8))
    policy.save(tmp_path)
    now = describe(policy, Execution(exec_horizon=2), tmp_path)
    then = {**now, "sampler": {k: v for k, v in now["sampler"].items() if k != "min_code_probability"}}
    assert acts_alike(then, now)
    policy.family.reconfigure(min_code_probability=0.1)
    assert not acts_alike(then, describe(policy, Execution(exec_horizon=2), tmp_path))
