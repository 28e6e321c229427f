"""The families and backbones there are, by the names that command line and checkpoints use.

An entry that is added at run time counts like the others: whoever wants a family of their own adds it before they
train, and before they load what was trained.

    FAMILIES["median"] = MedianConfig
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

from robolearn.catalog import Catalog
from robolearn.errors import UserError
from robolearn.nets.backbone import BackboneConfig
from robolearn.nets.lstm import LSTMConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.nets.unet import UNetConfig
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.family import FamilyConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.flowmap import FlowMapConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.gp import GPConfig
from robolearn.policies.mip import MIPConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.score import ScoreConfig
from robolearn.policies.tokens import TokensConfig

FAMILIES: Catalog[type[FamilyConfig]] = Catalog(
    "family",
    {
        "regression": RegressionConfig,
        "mip": MIPConfig,
        "gmm": GMMConfig,
        "gp": GPConfig,
        "cvae": CVAEConfig,
        "gan": GanConfig,
        "diffusion": DiffusionConfig,
        "score": ScoreConfig,
        "flow": FlowConfig,
        "flowmap": FlowMapConfig,
        "tokens": TokensConfig,
        "mixture": MixtureConfig,
    },
)
BACKBONES: Catalog[type[BackboneConfig]] = Catalog(
    "backbone",
    {
        "mlp": MLPConfig,
        "unet": UNetConfig,
        "transformer": TransformerConfig,
        "lstm": LSTMConfig,
    },
    beside=(FAMILIES,),
)
FAMILIES.beside = (BACKBONES,)
REGISTRY: Mapping[str, type] = ChainMap(FAMILIES, BACKBONES)  # pyright: ignore[reportArgumentType]


def name_of(cfg: FamilyConfig | BackboneConfig) -> str:
    """The name under which a family or backbone is registered.

    Raises:
        UserError: It is not.
    """
    for name, cls in REGISTRY.items():
        if cls is type(cfg):
            return name
    table = "FAMILIES" if isinstance(cfg, FamilyConfig) else "BACKBONES"
    raise UserError(f"{type(cfg).__name__} has no name yet: add it to robolearn.policies.registry.{table}")
