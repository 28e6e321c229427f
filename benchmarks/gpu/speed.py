"""How fast it is: steps of training, plain and recorded, from states and from images, and one plan."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import ACTION, ACTION_HORIZON, CPU, OBS_HORIZON, untrained_policy
from benchmarks.gpu.study import PRECISIONS, STATE, Report, Size, to, train, windows_of
from robolearn import seeds
from robolearn.data.normalizer import Normalizer
from robolearn.data.windows import Windows
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.unet import UNetConfig
from robolearn.nets.vision import VisionConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import BackboneConfig, FamilyConfig
from robolearn.rollout.latency import time_calls
from robolearn.training.config import TrainConfig
from robolearn.training.state import TrainState
from robolearn.training.step import optimize

STEPPED: dict[str, tuple[FamilyConfig, BackboneConfig]] = {
    "flow/mlp": (FlowConfig(), MLPConfig()),
    "diffusion/unet": (DiffusionConfig(), UNetConfig()),
}
"""Whose training steps are timed."""
NETWORKS: tuple[Literal["lenet", "resnet18"], ...] = ("lenet", "resnet18")


def speed(device: torch.device, size: Size) -> Report:
    """Training steps per second at batch 256, beside the arithmetic that a step takes and what the card can do."""
    report: Report = {"matmul_bf16_tflops": matmul_tflops(device, size)}
    for name, (family, backbone) in STEPPED.items():
        for amp, compiles in itertools.product(PRECISIONS, (False, True)):
            windows = windows_of(device)
            cfg = TrainConfig(steps=size.steps, amp=amp, compile=compiles, log_every=max(1, size.steps // 10))
            state = TrainState(untrained_policy(family, backbone, state=STATE).to(device), cfg)
            flops = step_flops(state, windows)
            torch.compiler.reset()
            rate = train(state, windows).steps_per_s()
            label = f"{name}, {'bfloat16' if amp == 'on' else 'float32'}{', compiled' if compiles else ''}"
            report[label] = {"steps_per_s": rate, "gflop_per_step": flops / 1e9, "tflops": rate * flops / 1e12}
    return report | {"passed": True}


def capture(device: torch.device, size: Size) -> Report:
    """Steps per second at batch 256 as they are asked for and repeated from a recording, and what both end with.

    With torch.compile as well, whose results are others: there only the rates are compared.
    """
    report, differences = Report(), list[float]()
    kinds = list(itertools.product(STEPPED.items(), (False, True)))
    for (name, (family, backbone)), compiles in kinds if device.type == "cuda" else kinds[:1]:  # nothing is recorded
        weights, rates = list[torch.Tensor](), list[float]()
        for captures in (False, True):
            windows, log_every = windows_of(device), max(1, size.steps // 10)
            cfg = TrainConfig(steps=size.steps, amp="off", compile=compiles, capture=captures, log_every=log_every)
            state = TrainState(untrained_policy(family, backbone, state=STATE).to(device), cfg)
            torch.compiler.reset()
            rates.append(train(state, windows).steps_per_s())
            weights.append(torch.cat([p.detach().flatten() for p in state.ema.module.parameters()]))
        difference = float((weights[0] - weights[1]).abs().max())
        differences += [] if compiles else [difference]
        report[f"{name}{', compiled' if compiles else ''}"] = {
            "steps_per_s": rates[0],
            "captured_steps_per_s": rates[1],
            "largest_difference": difference,
        }
    return report | {"bit_for_bit": max(differences) == 0, "passed": max(differences) < 1e-5}


def image_speed(device: torch.device, size: Size) -> Report:
    """Training steps per second from images at batch 64, by both networks for cameras."""
    report: Report = {}
    for network, amp in itertools.product(NETWORKS, PRECISIONS):
        windows = make_image_windows(device)
        vision = VisionConfig(network=network)
        cfg = PolicyConfig(FlowConfig(), MLPConfig(), windows.obs_shapes, ACTION, 1, ACTION_HORIZON, vision=vision)
        policy = Policy(cfg, Normalizer({"action": (ACTION,)})).to(device)
        options = TrainConfig(
            steps=size.image_steps // 5, batch_size=64, amp=amp, log_every=max(1, size.image_steps // 50)
        )
        rate = train(TrainState(policy, options), windows).steps_per_s()
        report[f"{network}, {'bfloat16' if amp == 'on' else 'float32'}"] = {"steps_per_s": rate}
    return report | {"passed": True}


def make_image_windows(device: torch.device) -> Windows:
    """Random demonstrations of one camera."""
    generator = torch.Generator().manual_seed(seeds.FIXED)
    image = torch.randint(0, 256, (1000, 96, 96, 3), generator=generator, dtype=torch.uint8)
    actions = torch.rand(1000, ACTION, generator=generator) * 2 - 1
    return Windows({"image": image}, actions, list(range(100, 1001, 100)), 1, ACTION_HORIZON, device=device)


def step_flops(state: TrainState, windows: Windows) -> int:
    """Floating-point operations of matrix products and convolutions in one step."""
    probe = copy.deepcopy(state.policy)
    state = TrainState(probe, dataclasses.replace(state.cfg, amp="off", compile=False))
    index = torch.arange(state.cfg.batch_size, device=windows.device)
    with FlopCounterMode(display=False) as counter:
        optimize(state, probe, windows.batch(index), slice(None))
    return counter.get_total_flops()


def matmul_tflops(device: torch.device, size: Size) -> float:
    """What a large product of bfloat16 matrices reaches in the same run [TFLOP/s]."""
    side = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    torch.mm(a, b).sum().item()  # the first call chooses an algorithm
    with synchronized(device) as seconds:
        for _ in range(10):
            torch.mm(a, b)
    return 10 * 2 * side**3 / seconds[0] / 1e12


@contextmanager
def synchronized(device: torch.device) -> Iterator[list[float]]:
    """Seconds until the device is through with what was asked of it within."""
    seconds: list[float] = []
    started = time.perf_counter()
    yield seconds
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds.append(time.perf_counter() - started)


@torch.inference_mode()
def latency(device: torch.device, size: Size) -> Report:
    """From one observation on the host to one chunk on the host, by the default U-Net and MLP, here and on the CPU."""
    report: Report = {}
    families = {
        "DDIM-10, unet": (DiffusionConfig(sampler="ddim", steps=10), UNetConfig()),
        "flow, mlp": (FlowConfig(), MLPConfig()),
    }
    for name, (family, backbone) in families.items():
        for where in dict.fromkeys((device, CPU)):
            policy = untrained_policy(family, backbone, state=STATE).to(where).eval()
            times = time_calls(
                functools.partial(plan, policy, torch.Generator(where).manual_seed(seeds.FIXED)), size.calls
            )
            report[f"{name}, {where.type}"] = times | {"nfe": policy.family.nfe}
    return report | {"passed": True}


def plan(policy: Policy, generator: torch.Generator) -> torch.Tensor:
    """One chunk on the host from one observation on the host."""
    obs = {"state": torch.zeros(1, OBS_HORIZON, STATE)}
    return policy.act(to(obs, policy.device), policy.family.noise(1, generator=generator)).cpu()
