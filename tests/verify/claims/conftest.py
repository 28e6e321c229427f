"""Small policies of each family of one evaluation, with weights so large that something depends on them."""

import pytest
import torch

from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.flowmap import FlowMapConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.mip import MIPConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig

FAMILIES = {
    "regression": RegressionConfig(),
    "mip": MIPConfig(),
    "cvae": CVAEConfig(latent_dim=2),
    "cvae, zero": CVAEConfig(latent_dim=2, latent="zero"),
    "gan": GanConfig(),
    "flowmap": FlowMapConfig(steps=1),
    "tokens": TokensConfig(num_bins=5, width=8),
    "tokens, likely": TokensConfig(num_bins=5, width=8, min_code_probability=0.15),
    "mixture": MixtureConfig("plain", num_codes=4, num_observations=6, pairs=3, min_code_probability=0.2),
}


@pytest.fixture
def trained(make_policy):
    """A policy of one of FAMILIES, of two keys and physical units."""

    def make(name, **changes):
        policy = make_policy(FAMILIES[name], obs_shapes={"pose": (3,), "grip": ()}, **changes)
        generator = torch.Generator().manual_seed(3)
        for parameter in policy.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        if hasattr(policy.family, "tokenizer"):
            policy.family.tokenizer.centres.normal_(generator=generator)
        for key in policy.normalizer.keys:
            policy.normalizer.get_buffer(f"{key}_scale").fill_(2.0)
            policy.normalizer.get_buffer(f"{key}_centre").fill_(0.3)
        return policy.requires_grad_(False)

    return make
