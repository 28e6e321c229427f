"""Everything that changes while a translator is trained, in one place that can be saved and restored bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from robolearn.training.moments import named, of_name, shapes_of, take_over
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.method import Method

BETAS = (0.5, 0.999)  # Zhu et al. 2017, appendix 7.1, after Radford et al. 2016
MAKERS, CRITICS = "makers", "critics"

Shapes = Mapping[str, tuple[int, ...]]


class TranslatorState:
    """Methods of all cameras, an optimizer of generators and one of critics, the random stream and the step.

    Args:
        cfg: Method, learning rate, seed.
        shapes: Camera -> shape of its images, [h, w, c].
        device: Where to train.
    """

    def __init__(self, cfg: TranslatorConfig, shapes: Shapes, device: torch.device):
        self.cfg, self.step = cfg, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(cfg.seed)
            self.methods = nn.ModuleList(cfg.method.build(shape) for shape in shapes.values()).to(device)
        self.cameras = dict(zip(shapes, self._methods(), strict=True))
        self.random = torch.Generator(device).manual_seed(cfg.seed)
        trained = {
            MAKERS: [p for method in self._methods() for p in method.makers()],
            CRITICS: [p for method in self._methods() for p in method.critics.parameters()],
        }
        self.optimizers = {name: torch.optim.Adam(parameters, cfg.lr, BETAS) for name, parameters in trained.items()}

    def _methods(self) -> Iterator[Method]:
        for method in self.methods:
            assert isinstance(method, Method)
            yield method

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state by name, for a file."""
        tensors = {f"methods.{name}": value for name, value in self.methods.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            tensors |= named(optimizer.state_dict()["state"], name)
        return tensors | {"random": self.random.get_state()}

    def fits(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether saved tensors can be of this training, after a step or more."""
        expected = {f"methods.{name}": value.shape for name, value in self.methods.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            expected |= shapes_of(optimizer, name)
        expected["random"] = self.random.get_state().shape
        return {name: value.shape for name, value in tensors.items()} == expected

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take over what ``tensors`` returned at ``step``, where it fits."""
        own = {name.removeprefix("methods."): tensors[name] for name in tensors if name.startswith("methods.")}
        self.methods.load_state_dict(own)
        for name, optimizer in self.optimizers.items():
            take_over(optimizer, of_name(tensors, name))
        self.random.set_state(tensors["random"])
        self.step = step
