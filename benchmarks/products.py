"""CPU time of a whole training step over that of the matrix products in it, which no way to write the step can save.

    python -m benchmarks.products [--cases flow/mlp tokens/mlp] [--out docs/results/speed.json]

The step is the trainer's: windows drawn and gathered, loss, backward, clipping, AdamW and the moving average. Its
products and convolutions are noted as they are called, and called again on random numbers of the same sizes, strides
and types, one after the other. Both take turns, on one thread. Random demonstrations: state 4, action 2, observation
horizon 2, action horizon 16.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from benchmarks.common import CPU, in_turn, keep_part, make_windows, options, ratio, untrained_policy
from robolearn.data.ahead import Ahead
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.nets.unet import UNetConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.registry import BackboneConfig, FamilyConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.training.config import TrainConfig
from robolearn.training.device import gains_by_bfloat16
from robolearn.training.examples import begin
from robolearn.training.state import TrainState
from robolearn.training.step import advance

ROUNDS, CALLS, WARM = 15, 20, 5
PRECISIONS: dict[str, Literal["on", "off"]] = {"float32": "off", "bfloat16": "on"}
aten = torch.ops.aten
PRODUCTS = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution, aten.convolution_backward}
CASES: dict[str, tuple[FamilyConfig, BackboneConfig, int]] = {
    "flow/mlp": (FlowConfig(), MLPConfig(), 256),
    "tokens/mlp": (TokensConfig(), MLPConfig(), 256),
    "flow/transformer": (FlowConfig(), TransformerConfig(), 256),
    "diffusion/unet": (DiffusionConfig(), UNetConfig(), 64),
}
"""Family, backbone, and windows of a step."""


class Products(TorchDispatchMode):
    """Notes the matrix products and convolutions that are called within, to call them again.

    Attributes:
        calls: What each was, and with which arguments; tensors are random ones of the same layout.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """See TorchDispatchMode."""
        given = dict(kwargs or {})
        if func.overloadpacket in PRODUCTS:
            self.calls.append((func, *tree_map(random_like, (args, given))))
        return func(*args, **given)

    @torch.no_grad()
    def again(self) -> None:
        """Call all of them."""
        for func, args, kwargs in self.calls:
            func(*args, **kwargs)


def random_like(value: Any) -> Any:
    """A tensor of random numbers with the same sizes, strides and type; whatever is no tensor as it is."""
    if not isinstance(value, Tensor):
        return value
    span = 1 + sum((size - 1) * stride for size, stride in zip(value.shape, value.stride(), strict=True))
    return torch.randn(span).to(value.dtype).as_strided(value.shape, value.stride())


def make_step(name: str, amp: Literal["auto", "on", "off"]) -> Callable[[], object]:
    """The step of a case, as the trainer makes it."""
    family, backbone, batch = CASES[name]
    policy, windows = untrained_policy(family, backbone), make_windows()
    state, ahead = TrainState(policy, TrainConfig(batch_size=batch, amp=amp)), Ahead(windows)
    begin(state, windows, resumed=False)
    return lambda: advance(state, policy, ahead, slice(None))


def measure(name: str, amp: Literal["on", "off"], rounds: int, calls: int) -> dict[str, list[float]]:
    """CPU time of a step and of its products in each round [s]."""
    step = make_step(name, amp)
    for _ in range(WARM):
        step()
    with Products() as products:
        step()
    return in_turn({"step": step, "products": products.again}, rounds, calls=calls)


def main() -> None:
    """Measure each case in both precisions, where bfloat16 gains, and print a line of each."""
    parser = options(__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    rounds, calls = (1, 1) if args.dry_run else (ROUNDS, CALLS)
    results = {}
    for name in args.cases:
        for precision, amp in PRECISIONS.items():
            if amp == "on" and not gains_by_bfloat16(CPU):
                continue
            label = f"{name}, {precision}"
            seconds = measure(name, amp, rounds, calls)
            share = ratio(seconds["step"], seconds["products"])
            results[label] = {"seconds": seconds, "ratio": share}
            step, products = (1e3 * statistics.median(seconds[case]) for case in ("step", "products"))
            print(f"{label:28} step {step:7.2f} ms, products {products:7.2f} ms, ratio {share:.2f}", flush=True)
    keep_part(args.out, "products", {"cases": results})


if __name__ == "__main__":
    main()
