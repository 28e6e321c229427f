"""Scores of how far an observation is from the demonstrations', fitted to their embeddings and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import one_line
from robolearn.nets.weights import load_tensors, save_tensors
from robolearn.trust.scores.laplace import LastLayer, fit_last_layer
from robolearn.trust.scores.novelty import Novelty, OneStepFlow, RandomDistillation
from robolearn.trust.scores.samples import mahalanobis, neighbour_distance

NUM_EMBEDDINGS = 4000  # of demonstrations, to fit to
FILE = "scores.safetensors"


class Reference(nn.Module):
    """A score that compares with the demonstrations' embeddings themselves.

    Args:
        score: (embeddings [b, d], those of demonstrations [m, d]) -> [b].
        reference: Those of demonstrations.
    """

    reference: Tensor

    def __init__(self, score: Callable[[Tensor, Tensor], Tensor], reference: Float[Tensor, "m d"]):
        super().__init__()
        self.score = score
        self.register_buffer("reference", reference)

    def forward(self, embedding: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Score embeddings."""
        return self.score(embedding, self.reference)


class Laplace(nn.Module):
    """Variance of a linear layer that predicts the expert's chunk from the embedding."""

    mean: Tensor
    factor: Tensor
    noise: Tensor

    def __init__(self, layer: LastLayer):
        super().__init__()
        self.register_buffer("mean", layer.mean)
        self.register_buffer("factor", layer.factor)
        self.register_buffer("noise", torch.tensor(layer.noise, dtype=torch.float64))

    def forward(self, embedding: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Score embeddings."""
        return LastLayer(self.mean, self.factor, float(self.noise)).variance(embedding)


def _novelty(kind: type[Novelty]) -> Callable[[Tensor, Tensor, torch.Generator], nn.Module]:
    def fit(embeddings: Tensor, chunks: Tensor, generator: torch.Generator) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            net = kind(embeddings.shape[1]).to(embeddings.device)
        net.fit(embeddings, generator=generator)
        return net.eval()

    return fit


# Name -> what fits the score to embeddings [m, d] and the normalised chunks [m, p] that go with them.
FAMILIARITY: dict[str, Callable[[Tensor, Tensor, torch.Generator], nn.Module]] = {
    "neighbour": lambda embeddings, chunks, generator: Reference(neighbour_distance, embeddings),
    "mahalanobis": lambda embeddings, chunks, generator: Reference(mahalanobis, embeddings),
    "rnd": _novelty(RandomDistillation),
    "logpzo": _novelty(OneStepFlow),
    "laplace": lambda embeddings, chunks, generator: Laplace(fit_last_layer(embeddings, chunks)),
}


def fit_familiarity(
    names: Sequence[str], embeddings: Float[Tensor, "m d"], chunks: Float[Tensor, "m p"], *, seed: int
) -> dict[str, nn.Module]:
    """Fit scores to demonstrations.

    Args:
        names: Of FAMILIARITY.
        embeddings: Encoded observations of demonstrations.
        chunks: What the expert did there, normalised, in a row.
        seed: Fixes what is random.
    """
    generator = torch.Generator(embeddings.device)
    return {name: FAMILIARITY[name](embeddings, chunks, generator.manual_seed(seed)) for name in names}


def save_familiarity(directory: Path, fitted: dict[str, nn.Module]) -> None:
    """Write fitted scores; where there are none, none are left."""
    (directory / FILE).unlink(missing_ok=True)
    tensors = {f"{name}.{key}": value for name, net in fitted.items() for key, value in net.state_dict().items()}
    if tensors:
        directory.mkdir(parents=True, exist_ok=True)
        copies = {key: value.cpu().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
        save_tensors(copies, directory / FILE)  # copies: tensors that share memory cannot be saved


def load_familiarity(directory: Path, names: Sequence[str], device: torch.device) -> dict[str, nn.Module]:
    """Read fitted scores.

    Raises:
        ValueError: The file is missing or damaged, not of these scores, or one of their numbers is not finite.
    """
    if not names:
        return {}
    path = directory / FILE
    if not path.exists():
        raise ValueError(f"{path}: no such file; calibrate again")
    tensors = load_tensors(path)
    found = {}
    for name in names:
        state = {key.partition(".")[2]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
        if not state:
            raise ValueError(f"{directory / FILE} holds no score {name}; calibrate again")
        try:
            found[name] = _rebuild(name, state).to(device)
        except (KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"{path}: damaged or of another score ({one_line(error)}); calibrate again") from None
    return found


def _rebuild(name: str, state: dict[str, Tensor]) -> nn.Module:
    if name in ("neighbour", "mahalanobis"):
        return Reference(neighbour_distance if name == "neighbour" else mahalanobis, state["reference"])
    if name == "laplace":
        return Laplace(LastLayer(state["mean"], state["factor"], float(state["noise"])))
    net = {"rnd": RandomDistillation, "logpzo": OneStepFlow}[name](len(state["centre"]))
    net.load_state_dict(state)
    return net.eval()
