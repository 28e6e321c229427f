"""The one concrete policy: normalizer + observation encoder + family. Physical units in and out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.data.augment import SHIFT, augment, augment_draws
from robolearn.data.normalizer import Normalizer, buffer_names
from robolearn.data.symmetry import TURN, Symmetry, SymmetryUse, symmetry_draws
from robolearn.files import StrPath
from robolearn.images import ImageLayout
from robolearn.nets.backbone import Backbone, Head, Shapes
from robolearn.nets.encoder import ObsEncoder
from robolearn.nets.vision import VisionConfig
from robolearn.nets.weights import build_with_weights, save_weights
from robolearn.policies.chunk_frame import FRAMES, ChunkFrame, ChunkFrameKind
from robolearn.policies.draws import Draws, Progress
from robolearn.policies.family import Chunks, Loss
from robolearn.policies.obs_noise import NOISE, obs_noise_draws, with_noise
from robolearn.policies.observations import checked_observations
from robolearn.policies.prefix import LENGTH, Prefix, prefix_dim, prefix_draws, prefix_features
from robolearn.policies.promises import (
    built_family,
    built_net,
    kept_chunks,
    kept_draws,
    kept_loss,
    kept_noise,
    kept_validation_loss,
)
from robolearn.policies.registry import REGISTRY, BackboneConfig, FamilyConfig
from robolearn.types import Batch, is_image

CONFIG_FILE, WEIGHTS_FILE = "policy.json", "policy.safetensors"


@dataclass(frozen=True)
class PolicyConfig:
    """Everything needed to build a policy, weights aside."""

    family: FamilyConfig
    backbone: BackboneConfig
    obs_shapes: dict[str, tuple[int, ...]]
    """Key -> shape of one observation, in the order in which the encoder concatenates them."""
    action_dim: int
    obs_horizon: int
    """Past observations fed to the policy, now included."""
    action_horizon: int
    """Length of the predicted chunk; index 0 is the action to execute now."""
    angles: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Key -> dimensions that are angles in rad; the network sees their sine and cosine."""
    vision: VisionConfig = field(default_factory=VisionConfig)
    """The cameras' networks, and how their training images vary."""
    prefix_horizon: int = 0
    """Actions at the head of a chunk that the policy can be told, when they are decided already."""
    symmetry: Symmetry | None = None
    """The task's symmetry, where the policy makes use of it."""
    symmetry_use: SymmetryUse = "ignore"
    """How: ignore; augment, in training; canonical, exactly, in training and when acting."""
    images: dict[str, ImageLayout] = field(default_factory=dict)
    """Key -> how images were recorded that are not uint8 [h, w, c]; the policy sees what `ImageLayout.read` gives."""
    quaternions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Key -> first of four dimensions that are a quaternion; the network sees two columns of the rotation's matrix."""
    obs_noise: float = 0.0
    """Standard deviation of the noise on observations in training, in normalized units; images have none."""
    chunk_frame: ChunkFrameKind = "absolute"
    """What the family learns: normalized actions as they are, relative to where their chunk starts, or in units of
    their spread."""


@dataclass(frozen=True)
class Nets:
    """Builds networks for a policy's chunk and observations; a family's ``make_net``."""

    cfg: PolicyConfig
    cond_dim: int
    """Channels of an observation token."""

    def __call__(self, dim_in: int, dim_out: int, num_times: int) -> Backbone:
        """Build a backbone."""
        cfg = self.cfg
        shapes = Shapes(
            dim_in,
            dim_out,
            cfg.action_horizon,
            cfg.obs_horizon,
            self.cond_dim,
            num_times,
            cfg.family.dropout,
        )
        return built_net(cfg.backbone.build(shapes), cfg.backbone)

    def head(self, dim_in: int, dim_out: int) -> Head:
        """Build a small network beside it."""
        return Head(dim_in, dim_out, self.cfg.obs_horizon * self.cond_dim)


class Policy(nn.Module):
    """p(action chunk | observations), for any family on any backbone.

    Args:
        cfg: Family, backbone and shapes.
        normalizer: Fitted on training episodes; has every observation key but images, and "action".
    """

    def __init__(self, cfg: PolicyConfig, normalizer: Normalizer):
        super().__init__()
        self.cfg = cfg
        self.normalizer = normalizer
        self.encoder = ObsEncoder(cfg.obs_shapes, cfg.angles, cfg.vision, cfg.quaternions)
        cond_dim = self.encoder.cond_dim + prefix_dim(cfg.prefix_horizon, cfg.action_dim)
        family = cfg.family.build(Nets(cfg, cond_dim), cfg.action_horizon, cfg.action_dim)
        self.family = built_family(family, cfg.family)
        self.frame = ChunkFrame()
        if cfg.chunk_frame in FRAMES:
            self.frame = FRAMES[cfg.chunk_frame](self.encoder.state.cond_dim, self.family.chunk_shape)
        self.family.limit = self.frame.limit

    def encode(self, obs: dict[str, Tensor], prefix: Prefix | None = None) -> Float[Tensor, "b o c"]:
        """Normalize and encode what a chunk depends on.

        Args:
            obs: Key -> [b, o, ...] in physical units; unknown keys are ignored.
            prefix: Actions that are decided already, prefix_horizon of them; None where none are.
        """
        normalized = {key: self.normalizer.normalize(key, obs[key]) for key in self.encoder.state.keys}
        cond = self.encoder(normalized, obs)
        horizon = self.cfg.prefix_horizon
        if prefix is None:
            return nn.functional.pad(cond, (0, prefix_dim(horizon, self.cfg.action_dim)))
        assert prefix.actions.shape[1] == horizon, "the policy takes prefix_horizon actions, known or not"
        features = prefix_features(self.normalizer.normalize("action", prefix.actions), prefix.length)
        return torch.cat([cond, repeat(features.to(cond), "b d -> b o d", o=cond.shape[1])], dim=2)

    def draws(
        self,
        batch: int,
        *,
        generator: torch.Generator,
        player: str = "policy",
        progress: float | Progress = 0.0,
    ) -> Draws:
        """Draw everything random that a training step needs: for the family, the observations and the prefix."""
        cameras, shift = len(self.encoder.cameras), self.cfg.vision.shift
        seen = self.cfg.obs_horizon, self.encoder.state.cond_dim
        return {
            **kept_draws(
                self.family.draws(batch, generator=generator, player=player, progress=progress), batch, self.family
            ),
            **augment_draws(batch, cameras, shift, generator=generator),
            **obs_noise_draws(batch, *seen, self.cfg.obs_noise, generator=generator),
            **prefix_draws(batch, self.cfg.prefix_horizon, generator=generator),
            **self.turn_draws(batch, generator=generator),
        }

    def turn_draws(self, batch: int, *, generator: torch.Generator) -> Draws:
        """Draw how often each window is turned, where that is asked for."""
        if self.cfg.symmetry is None or self.cfg.symmetry_use != "augment":
            return {}
        return symmetry_draws(batch, self.cfg.symmetry.order, generator=generator)

    def turned(self, batch: Batch, draws: Draws) -> Batch:
        """The batch as the policy is to see it: in the standard position, turned as drawn, or as it is."""
        symmetry, canonical = self.cfg.symmetry, self.cfg.symmetry_use == "canonical"
        if symmetry is None or not (canonical or TURN in draws):
            return batch
        times = symmetry.to_canonical(batch.obs) if canonical else draws[TURN]
        actions = symmetry.turn("action", batch.actions, times)
        return dataclasses.replace(batch, obs=symmetry.turn_all(batch.obs, times), actions=actions)

    def validation_draws(self, batch: int, *, generator: torch.Generator) -> Draws:
        """Draw everything random that ``validation_loss`` needs: observations stay as they are."""
        return {
            **kept_draws(
                self.family.validation_draws(batch, generator=generator), batch, self.family, "validation_draws"
            ),
            **prefix_draws(batch, self.cfg.prefix_horizon, generator=generator),
        }

    def chunks(self, batch: Batch, draws: Draws) -> Chunks:
        """What the family learns of a batch: actions in the frame, and what they depend on.

        That is observations with the noise in ``draws``, and as many of the actions as ``draws`` says. Chunks start
        at what was observed, without the noise.
        """
        prefix = None
        if LENGTH in draws:
            prefix = Prefix(batch.actions[:, : self.cfg.prefix_horizon], draws[LENGTH])
        cond = self.encode(batch.obs, prefix)
        actions = self.frame.enter(self.normalizer.normalize("action", batch.actions), self.start(cond.detach()))
        return Chunks(actions, with_noise(cond, draws[NOISE]) if NOISE in draws else cond, batch.mask)

    def start(self, cond: Float[Tensor, "b o c"]) -> Float[Tensor, "b 1 s"]:
        """Where chunks start in the frame; the encoder puts the state first, which need not be normalized again."""
        return self.frame.start(cond[:, -1, : self.encoder.state.cond_dim])

    def state(self, obs: dict[str, Tensor]) -> Float[Tensor, "b d"]:
        """The last observation as the network sees it, images aside."""
        last = {key: obs[key][:, -1:] for key in self.encoder.state.keys}
        if not last:
            return self.normalizer.get_buffer("action_scale").new_zeros(len(next(iter(obs.values()))), 0)
        return self.encoder.state({key: self.normalizer.normalize(key, x) for key, x in last.items()}, last)[:, 0]

    def physical(self, chunks: Float[Tensor, "m t a"], start: Float[Tensor, "m 1 s"]) -> Float[Tensor, "m t a"]:
        """Actions in physical units of what the family samples; ``start`` is that of the frame."""
        return self.normalizer.unnormalize("action", self.frame.leave(chunks, start))

    def loss(self, batch: Batch, draws: Draws, *, player: str = "policy") -> Loss:
        """Loss of one player on a batch in physical units; see Family.loss.

        Observations vary only where ``draws`` says how, and no action is known where it does not say how many; the
        draws of the family alone leave everything as it is.
        """
        batch = self.turned(batch, draws)
        if SHIFT in draws:
            vision = self.cfg.vision
            obs = augment(batch.obs, self.encoder.cameras, draws, vision.jitter, vision.view, vision.hue)
            batch = dataclasses.replace(batch, obs=obs)
        data = self.chunks(batch, draws)
        if not self.family.players()[player].trains_encoder:
            data = dataclasses.replace(data, cond=data.cond.detach())
        return kept_loss(self.family.loss(data, draws, player=player), self.family)

    # Data-parallel wrappers and torch.compile hook into forward.
    forward = loss

    def validation_loss(self, batch: Batch, draws: Draws) -> Float[Tensor, ""]:
        """How well a held-out batch in physical units is explained; see Family.validation_loss."""
        loss = self.family.validation_loss(self.chunks(self.turned(batch, draws), draws), draws)
        return kept_validation_loss(loss, self.family)

    def act(
        self, obs: dict[str, Tensor], noise: Float[Tensor, "m ..."], prefix: Prefix | None = None
    ) -> Float[Tensor, "m t a"]:
        """Sample chunks from given noise, in physical units.

        Args:
            obs: Key -> [b, o, ...]; see encode.
            noise: As many rows as observations, or n times as many: the first n are the first observation's.
            prefix: See encode.

        Raises:
            UserError: Observations are missing, or are no tensors of the shapes that the policy was trained on.
        """
        return self._turned_act(checked_observations(obs, self.cfg.obs_horizon, self.cfg.obs_shapes), noise, prefix)

    def _turned_act(self, obs: dict[str, Tensor], noise: Tensor, prefix: Prefix | None = None) -> Tensor:
        symmetry = self.canonical
        if symmetry is None:
            return self._act(obs, noise, prefix)
        times = symmetry.to_canonical(obs)
        if prefix is not None:
            prefix = Prefix(symmetry.turn("action", prefix.actions, times), prefix.length)
        chunks = self._act(symmetry.turn_all(obs, times), noise, prefix)
        return symmetry.turn("action", chunks, -times.repeat_interleave(len(chunks) // len(times)))

    @property
    def canonical(self) -> Symmetry | None:
        """The symmetry by which observations are turned into one of their orientations before anything is seen."""
        return self.cfg.symmetry if self.cfg.symmetry_use == "canonical" else None

    def _act(self, obs: dict[str, Tensor], noise: Tensor, prefix: Prefix | None) -> Tensor:
        cond = self.encode(obs, prefix)
        times = len(noise) // len(cond)
        cond = cond.repeat_interleave(times, dim=0)  # after encoding: images cost more than chunks
        chunks = kept_chunks(self.family.sample(cond, noise), len(noise), self.family)
        return self.physical(chunks, self.start(cond))

    def sample(self, obs: dict[str, Tensor], n: int, *, generator: torch.Generator) -> Float[Tensor, "b n t a"]:
        """Sample ``n`` chunks per observation, in physical units.

        Args:
            obs: Key -> [b, o, ...] in physical units.
            n: Chunks per observation.
            generator: On the policy's device.

        Raises:
            UserError: See act.
        """
        obs = checked_observations(obs, self.cfg.obs_horizon, self.cfg.obs_shapes)
        rows = n * len(next(iter(obs.values())))
        noise = kept_noise(self.family.noise(rows, generator=generator), rows, self.family)
        return rearrange(self._turned_act(obs, noise), "(b n) t a -> b n t a", n=n)

    def blank(self) -> dict[str, Tensor]:
        """An observation of zeros, key -> [1, o, ...], of the shapes and types that `act` takes."""
        return {
            key: torch.zeros(
                1, self.cfg.obs_horizon, *shape, dtype=torch.uint8 if is_image(shape) else None, device=self.device
            )
            for key, shape in self.cfg.obs_shapes.items()
        }

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.normalizer.get_buffer("action_scale").device  # a family may have no parameters

    def save(self, directory: StrPath) -> None:
        """Write ``policy.json`` and ``policy.safetensors`` into a directory; never pickle."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / CONFIG_FILE, to_json(self.cfg, REGISTRY))
        save_weights(self, directory / WEIGHTS_FILE)

    @classmethod
    def load(cls, directory: StrPath, *, device: torch.device | str = "cpu", **runtime: Any) -> Policy:
        """Read a saved policy; safe on files from strangers.

        Args:
            directory: Where ``save`` wrote.
            device: Where to put the weights.
            runtime: Run-time choices of the family, such as ``sampler`` and ``steps``.

        Raises:
            UserError: A file is missing, damaged or does not fit, or a run-time choice is not valid.
        """
        directory = Path(directory)
        cfg = from_json(PolicyConfig, read_json(directory / CONFIG_FILE), REGISTRY, str(directory / CONFIG_FILE))
        shapes = {**cfg.obs_shapes, "action": (cfg.action_dim,)}
        needs = {f"normalizer.{buffer_names(key)[0]}": shape for key, shape in shapes.items() if not is_image(shape)}
        policy = build_with_weights(
            lambda: cls(cfg, Normalizer(shapes)), directory / WEIGHTS_FILE, needs=needs, foreign="not of this policy"
        )
        policy.family.reconfigure(**runtime)
        return policy.to(device).eval()
