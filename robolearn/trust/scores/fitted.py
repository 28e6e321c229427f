"""What scores fit to a run's demonstrations, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robolearn.errors import UserError, one_line
from robolearn.nets.weights import load_tensors, save_tensors
from robolearn.trust.scores.registry import find_score

FILE = "scores.safetensors"


def fit_scores(
    names: Sequence[str], embeddings: Float[Tensor, "m d"], chunks: Float[Tensor, "m p"], *, seed: int
) -> dict[str, nn.Module]:
    """Fit what these scores need to demonstrations.

    Args:
        names: Of scores; those that need nothing fitted are passed over.
        embeddings: Encoded observations of demonstrations, in a random order: each score takes as many as it is fitted
            to, from the first on.
        chunks: What the expert did there, normalized, in a row.
        seed: Fixes what is random.

    Raises:
        UserError: A score of one's own fits something that is no module.
    """
    generator = torch.Generator(embeddings.device)
    fitted = {}
    for score in map(find_score, names):
        if score.fit is not None:
            seen = slice(score.num_windows)
            module = score.fit(embeddings[seen], chunks[seen], generator.manual_seed(seed))
            if not isinstance(module, nn.Module):
                kind = type(module).__name__
                raise UserError(f"score {score.name}: its fit returned {kind}; expected a torch.nn.Module")
            fitted[score.name] = module
    return fitted


def save_fitted(directory: Path, fitted: Mapping[str, nn.Module]) -> None:
    """Write what was fitted; where there is nothing, nothing is left."""
    (directory / FILE).unlink(missing_ok=True)
    tensors = {f"{name}.{key}": value for name, net in fitted.items() for key, value in net.state_dict().items()}
    if tensors:
        directory.mkdir(parents=True, exist_ok=True)
        copies = {key: value.cpu().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
        save_tensors(copies, directory / FILE)  # copies: tensors that share memory cannot be saved


def load_fitted(directory: Path, names: Sequence[str], device: torch.device) -> dict[str, nn.Module]:
    """Read what was fitted for these scores.

    Raises:
        UserError: The file is missing or damaged, not of these scores, or one of their numbers is not finite.
    """
    parts = {name: restore for name in names if (restore := find_score(name).restore) is not None}
    path = directory / FILE
    if not parts:
        return {}
    if not path.exists():
        raise UserError(f"{path}: no such file; calibrate again")
    tensors, modules = load_tensors(path), {}
    for name, restore in parts.items():
        head = f"{name}."
        state = {key.removeprefix(head): value for key, value in tensors.items() if key.startswith(head)}
        if not state:
            raise UserError(f"{path} holds no score {name}; calibrate again")
        try:
            modules[name] = restore(state).to(device)
        except (KeyError, RuntimeError, TypeError) as error:
            raise UserError(f"{path}: damaged or of another score ({one_line(error)}); calibrate again") from None
    return modules
