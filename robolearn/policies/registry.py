"""The families and backbones there are: one dict literal each, for command line and checkpoints."""

from __future__ import annotations

from robolearn.nets.lstm import LSTMConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.nets.unet import UNetConfig
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.flowmap import FlowMapConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.mip import MIPConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.score import ScoreConfig
from robolearn.policies.tokens import TokensConfig

FamilyConfig = (
    RegressionConfig
    | MIPConfig
    | GMMConfig
    | CVAEConfig
    | GanConfig
    | DiffusionConfig
    | ScoreConfig
    | FlowConfig
    | FlowMapConfig
    | TokensConfig
    | MixtureConfig
)
BackboneConfig = MLPConfig | UNetConfig | TransformerConfig | LSTMConfig

FAMILIES: dict[str, type[FamilyConfig]] = {
    "regression": RegressionConfig,
    "mip": MIPConfig,
    "gmm": GMMConfig,
    "cvae": CVAEConfig,
    "gan": GanConfig,
    "diffusion": DiffusionConfig,
    "score": ScoreConfig,
    "flow": FlowConfig,
    "flowmap": FlowMapConfig,
    "tokens": TokensConfig,
    "mixture": MixtureConfig,
}
BACKBONES: dict[str, type[BackboneConfig]] = {
    "mlp": MLPConfig,
    "unet": UNetConfig,
    "transformer": TransformerConfig,
    "lstm": LSTMConfig,
}
REGISTRY: dict[str, type] = {**FAMILIES, **BACKBONES}
