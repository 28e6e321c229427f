"""Networks without memory are planned as they would be built, quickly."""

import subprocess
import sys

import pytest
import torch

from robolearn.nets.unallocated import unallocated
from robolearn.policies.registry import FAMILIES


@pytest.mark.parametrize("backbone", ["mlp", "unet", "transformer", "lstm"])
def test_a_plan_has_the_names_shapes_and_types_of_the_policy(make_policy, backbone):
    """And what is built behind it is drawn as ever."""
    built = make_policy(FAMILIES["tokens"](), backbone).state_dict()
    with unallocated():
        plan = make_policy(FAMILIES["tokens"](), backbone).state_dict()
    again = make_policy(FAMILIES["tokens"](), backbone).state_dict()
    assert {k: (v.shape, v.dtype) for k, v in plan.items()} == {k: (v.shape, v.dtype) for k, v in built.items()}
    assert all(torch.equal(again[name], value) for name, value in built.items())


def test_neither_a_plan_nor_a_step_imports_the_compiler():
    """It would take longer than all the rest of opening a policy, and a second of every training."""
    code = """
import sys
from robolearn.data.normalizer import Normalizer
from robolearn.nets.unallocated import unallocated
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import FAMILIES
from robolearn.training.config import TrainConfig
from robolearn.training.state import TrainState
shapes = {"state": (4,)}
normalizer = Normalizer({**shapes, "action": (2,)})
for family in FAMILIES.values():
    for backbone in (MLPConfig(), TransformerConfig()):
        with unallocated():
            policy = Policy(PolicyConfig(family(), backbone, shapes, 2, 2, 16), normalizer)
        assert next(policy.parameters()).is_meta
    state = TrainState(Policy(PolicyConfig(family(), MLPConfig(), shapes, 2, 2, 16), normalizer), TrainConfig())
    for optimizer in state.optimizers.values():
        optimizer.differentiate(sum(p.square().sum() for p in state.policy.parameters() if p.requires_grad))
        optimizer.move()
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
