"""Weights from strangers: what they hold is checked, and what their configuration asks for is never built first."""

import json
import resource
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from robolearn.dynamics.ensemble import DynamicsConfig, DynamicsEnsemble
from robolearn.policies.policy import CONFIG_FILE, WEIGHTS_FILE, Policy
from robolearn.policies.registry import FAMILIES

HUGE = 1 << 30


@pytest.fixture
def saved(make_policy, tmp_path):
    make_policy(FAMILIES["diffusion"]()).save(tmp_path)
    return tmp_path


def test_whoever_may_read_the_configuration_may_read_the_weights(saved):
    assert (saved / WEIGHTS_FILE).stat().st_mode == (saved / CONFIG_FILE).stat().st_mode


def change(tensors, name, value):
    tensors[name] = value(tensors[name])
    return tensors


def edited(value, path, new):
    """JSON with the entry at `path` replaced."""
    if not path:
        return new
    return {**value, path[0]: edited(value[path[0]], path[1:], new)}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda w: w.index_fill(0, torch.tensor([0]), float("nan")), "holds NaN or infinity"),
        (lambda w: w.index_fill(0, torch.tensor([0]), float("-inf")), "holds NaN or infinity"),
        (lambda w: w.to(torch.int32), r"I32 \[.*not F32"),
        (lambda w: w.double(), r"F64 \[.*not F32"),
        (lambda w: w.half(), r"F16 \[.*not F32"),
        (lambda w: w[:-1].clone(), "damaged or not of this policy"),
        (lambda w: w[None], "damaged or not of this policy"),
    ],
)
@pytest.mark.parametrize("name", ["family.net.out.weight", "normalizer.action_centre", "normalizer.state_scale"])
def test_weights_that_are_none(saved, name, value, message):
    file = saved / WEIGHTS_FILE
    save_file(change(load_file(file), name, value), file)
    with pytest.raises(ValueError, match=message) as caught:
        Policy.load(saved)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_scale_is_positive(saved, scale):
    file = saved / WEIGHTS_FILE
    save_file(change(load_file(file), "normalizer.action_scale", lambda s: s * 0 + scale), file)
    with pytest.raises(ValueError, match="normalizer: action_scale must be above 0"):
        Policy.load(saved)


def test_names_are_those_of_the_policy(saved):
    file = saved / WEIGHTS_FILE
    tensors = load_file(file)
    for changed in ({**tensors, "more": torch.zeros(1)}, dict(list(tensors.items())[1:])):
        save_file(changed, file)
        with pytest.raises(ValueError, match="damaged or not of this policy"):
            Policy.load(saved)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("backbone", "width"), HUGE),
        (("backbone", "depth"), HUGE),
        (("backbone", "width"), -1),
        (("backbone", "width"), 10**30),
        (("family", "train_steps"), HUGE),
        (("family", "train_steps"), 10**30),
        (("action_dim",), HUGE),
        (("action_dim",), -1),
        (("action_dim",), 0),
        (("action_horizon",), HUGE),
        (("obs_horizon",), HUGE),
        (("obs_horizon",), -3),
        (("prefix_horizon",), HUGE),
        (("obs_shapes",), {"state": [HUGE]}),
        (("obs_shapes",), {"state": [HUGE, HUGE]}),
        (("obs_shapes",), {"state": [4], "more": [HUGE]}),
        (("obs_shapes",), {"state": [4], "camera": [HUGE, HUGE, 3]}),
        (("obs_shapes",), {}),
        (("vision", "features"), HUGE),
        (("angles",), {"state": [HUGE]}),
    ],
)
def test_sizes_are_bounded_by_the_file(saved, where, value):
    """What cost gigabytes and minutes: refused in a moment, with nothing of that size built."""
    path = saved / CONFIG_FILE
    path.write_text(json.dumps(edited(json.loads(path.read_text()), where, value)))
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    if where[0] == "vision":  # of no effect without images
        Policy.load(saved)
    else:
        with pytest.raises(ValueError, match="policy") as caught:
            Policy.load(saved)
        assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes
    assert time.process_time() - begin < 20  # a hang is minutes


@pytest.mark.parametrize("name", ["hidden", "depth", "num_members", "state_dim", "action_dim"])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        (HUGE, r"dynamics\.json: dynamics: \w+ 1073741824 must be at most 65536"),
        (60_000, r"dynamics\.safetensors: damaged or of another network"),
    ],
)
def test_sizes_of_learned_dynamics(tmp_path, name, size, message):
    cfg = DynamicsConfig(3, 2, hidden=8)
    from robolearn.data.normalizer import Normalizer

    shapes = {"feature": (3,), "action": (2,), "delta": (3,)}
    DynamicsEnsemble(cfg, Normalizer(shapes)).save(tmp_path)
    path = tmp_path / "dynamics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: size}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=message):
        DynamicsEnsemble.load(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_a_head_that_is_too_long(saved):
    file = saved / WEIGHTS_FILE
    file.write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="a head of 1099511627776 bytes"):
        Policy.load(saved)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_planned_without_memory(make_policy, tmp_path, family):
    """What is loaded is what was saved, bit by bit."""
    policy = make_policy(FAMILIES[family]())
    policy.save(tmp_path)
    for name, value in Policy.load(tmp_path).state_dict().items():
        assert torch.equal(value, policy.state_dict()[name])
