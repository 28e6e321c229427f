import json
import pickle

import pytest
import torch

from robolearn.errors import UserError
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.policies.registry import BACKBONES, FAMILIES
from robolearn.policies.regression import RegressionConfig

OBS = {"state": torch.linspace(-1, 1, 16).view(2, 2, 4)}


def act(policy, obs=OBS, n=3):
    return policy.sample(obs, n, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def saved(tmp_path, make_policy):
    policy = make_policy(FlowConfig())
    policy.save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("backbone", ["mlp", "unet", "transformer", "lstm"])
@pytest.mark.parametrize("family", [RegressionConfig(), DiffusionConfig("x0", 50, "ddim", 5), FlowConfig()])
def test_what_was_saved_is_loaded(tmp_path, make_policy, family, backbone):
    policy = make_policy(family, backbone)
    policy.normalizer.state_centre += torch.randn(4)
    policy.save(tmp_path / "policy")
    loaded = Policy.load(tmp_path / "policy")
    assert loaded.cfg == policy.cfg
    assert not loaded.training
    pairs = zip(policy.state_dict().items(), loaded.state_dict().items(), strict=True)
    assert all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)
    assert torch.equal(act(policy), act(loaded))


def test_samples_of_one_observation_differ_and_of_equal_noise_agree(make_policy):
    policy = make_policy(FlowConfig())
    chunks = act(policy)
    assert chunks.shape == (2, 3, 4, 2)
    assert not torch.equal(chunks[:, 0], chunks[:, 1])
    assert torch.equal(chunks, act(policy))


def test_sampled_rows_belong_to_their_observation(make_policy):
    policy = make_policy(RegressionConfig())
    chunks = act(policy)
    expected = policy.act(OBS, torch.zeros(2, 0))
    torch.testing.assert_close(chunks, expected[:, None].expand_as(chunks))


@pytest.mark.parametrize(
    ("obs", "said"),
    [
        ({"pose": OBS["state"]}, "observation 'state' is missing; the policy sees state"),
        ({"state": OBS["state"][0]}, r"observation 'state' is a tensor \[2, 4\]; .* takes a tensor \[b, 2, 4\]"),
        ({"state": OBS["state"][:, :1]}, r"observation 'state' is a tensor \[2, 1, 4\]; .* \[b, 2, 4\]"),
        ({"state": OBS["state"][..., :3]}, r"observation 'state' is a tensor \[2, 2, 3\]; .* \[b, 2, 4\]"),
    ],
)
def test_observations_that_do_not_fit_are_told_what_does(make_policy, obs, said):
    policy = make_policy(RegressionConfig())
    with pytest.raises(UserError, match=said):
        policy.act(obs, torch.zeros(2, 0))
    with pytest.raises(UserError, match=said):
        act(policy, obs)


def test_observations_of_double_precision_are_taken_in_single(make_policy):
    """Simulators give them."""
    policy, double = make_policy(FlowConfig()), {"state": OBS["state"].double()}
    assert torch.equal(act(policy, double), act(policy))
    noise = policy.family.noise(2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(policy.act(double, noise), policy.act(OBS, noise))


def test_units_are_physical(make_policy):
    """Scaling observations and actions together with the normalizer leaves the policy as it is."""
    policy = make_policy(FlowConfig())
    before = act(policy)
    policy.normalizer.state_scale *= 10
    policy.normalizer.state_centre += 3
    policy.normalizer.action_scale *= 5
    policy.normalizer.action_centre += 7
    torch.testing.assert_close(act(policy, {"state": 10 * OBS["state"] + 3}), 5 * before + 7)


def test_unknown_observations_are_ignored(make_policy):
    policy = make_policy(FlowConfig())
    assert torch.equal(act(policy), act(policy, {**OBS, "camera": torch.zeros(2, 2, 3)}))


def test_a_saved_policy_holds_no_code(saved):
    assert sorted(p.name for p in saved.iterdir()) == ["policy.json", "policy.safetensors"]
    for file in saved.iterdir():
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads(file.read_bytes())


def test_run_time_choices_at_loading(saved):
    assert Policy.load(saved, sampler="heun", steps=3).family.nfe == 5
    with pytest.raises(ValueError, match="flow: steps 0 must be at least 1"):
        Policy.load(saved, steps=0)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def flip(path):
    data = bytearray(path.read_bytes())
    data[:8] = b"\xff" * 8
    path.write_bytes(data)


def rename_field(path):
    path.write_text(path.read_text().replace("action_dim", "action_size"))


def enlarge(path):
    path.write_text(path.read_text().replace('"width": 16', '"width": 24'))


DAMAGE = {
    "weights missing": ("policy.safetensors", lambda p: p.unlink(), "no such file"),
    "weights cut off": ("policy.safetensors", truncate, "damaged"),
    "weights empty": ("policy.safetensors", lambda p: p.write_bytes(b""), "damaged"),
    "weights of nothing": ("policy.safetensors", flip, "damaged"),
    "weights of another policy": ("policy.json", enlarge, "damaged or not of this policy"),
    "config missing": ("policy.json", lambda p: p.unlink(), "no such file"),
    "config cut off": ("policy.json", truncate, "not JSON"),
    "config binary": ("policy.json", lambda p: p.write_bytes(b"\xff\xfe\x00"), "not JSON"),
    "config of something else": ("policy.json", lambda p: p.write_text('{"a": 1}'), "unknown field 'a'"),
    "config a list": ("policy.json", lambda p: p.write_text("[1]"), "expected an object"),
    "config with another field": ("policy.json", rename_field, "unknown field 'action_size'"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_line_that_names_the_file(saved, damage):
    name, break_it, message = DAMAGE[damage]
    break_it(saved / name)
    with pytest.raises(ValueError, match=message) as caught:
        Policy.load(saved)
    assert "\n" not in str(caught.value)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize(("field", "choices"), [("family", FAMILIES), ("backbone", BACKBONES)])
def test_an_unknown_kind_lists_the_choices(saved, field, choices):
    path = saved / "policy.json"
    raw = json.loads(path.read_text())
    raw[field]["type"] = "vae"
    path.write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=f"{field}.type: expected one of {', '.join(choices)}, found 'vae'"):
        Policy.load(saved)
