"""The directory that a deployed policy is.

DIR/policy.json             keys, shapes, units, horizons, execution, sampler; sha256 of every file below
DIR/sampler-1.onnx          the whole sampler for one sample; a file per number of samples
DIR/reference.npz           observations, and what the trained policy did on them
DIR/robolearn_runtime.py    acts with all this; needs numpy and onnxruntime alone
DIR/check.json              how far its actions were from those of the trained policy, and how long both took
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from robolearn.config import from_json, to_json, write_json
from robolearn.deploy import runtime
from robolearn.deploy.check import CHECK_FILE
from robolearn.deploy.sampler import Sampler, input_names, write_network
from robolearn.errors import UserError
from robolearn.files import replacing_all
from robolearn.images import ImageLayout
from robolearn.policies.policy import WEIGHTS_FILE, Policy
from robolearn.policies.registry import REGISTRY, FamilyConfig, name_of
from robolearn.rollout.execution import Execution
from robolearn.types import Array, is_image
from robolearn.unused import is_begun

Format = Literal["onnx", "torch"]
Recorded = dict[str, Array]  # key -> observations [time, ...] of an episode
RUNTIME_FILE = "robolearn_runtime.py"
SUFFIXES: dict[Format, str] = {"onnx": "onnx", "torch": "pt2"}
NEEDED: dict[Format, tuple[str, ...]] = {"onnx": ("onnx", "onnxruntime"), "torch": ()}
DECIDING = ("weights", "execution")  # what two policies that act alike have in common, beside their sampler


def check_installed(kind: Format) -> None:
    """Raise a UserError unless what this format needs is installed."""
    missing = [name for name in NEEDED[kind] if util.find_spec(name) is None]
    if missing:
        raise UserError(f"format {kind} needs {' and '.join(missing)}; pip install 'robolearn[deploy]'")


def check_free(directory: Path) -> None:
    """Raise a UserError if a directory holds something that is no deployed policy."""
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file; choose another `out`")
    is_begun(directory, runtime.MANIFEST, "no deployed policy")


def describe(policy: Policy, execution: Execution, checkpoint: Path) -> dict[str, Any]:
    """What policy.json says of a policy and of how it acts.

    Args:
        policy: With its sampler chosen.
        execution: How its chunks are executed, with an exec_horizon.
        checkpoint: Its directory.
    """
    cfg, names = policy.cfg, input_names(policy)
    seen = {name: value for name, value in to_json(ImageLayout(), {}).items() if name in ("axes", "low", "high")}
    observations: dict[str, dict[str, Any]] = {
        key: {"input": names[key], "shape": list(shape)}
        | ({"dtype": "uint8", **seen} if is_image(shape) else {"dtype": "float32"})
        for key, shape in cfg.obs_shapes.items()
    }
    for key, layout in cfg.images.items():
        observations[key]["recorded"] = to_json(layout, {}) | {"shape": list(layout.shape(cfg.obs_shapes[key]))}
    center, scale = (policy.normalizer.get_buffer(f"action_{name}").tolist() for name in ("centre", "scale"))
    return {
        "version": runtime.VERSION,
        "robolearn": metadata.version("robolearn"),
        "family": name_of(cfg.family),
        "backbone": name_of(cfg.backbone),
        "weights": {"checkpoint": checkpoint.resolve().name, "sha256": sha256(checkpoint / WEIGHTS_FILE)},
        "sampler": {**to_json(policy.family.cfg, REGISTRY), "evaluations": policy.family.nfe},
        "execution": to_json(execution, {}),
        "observations": observations,
        "action": {"dim": cfg.action_dim, "center": center, "scale": scale},
        "obs_horizon": cfg.obs_horizon,
        "action_horizon": cfg.action_horizon,
        "prefix_horizon": cfg.prefix_horizon,
        "noise_shape": list(policy.family.noise(1, generator=torch.Generator()).shape[1:]),
    }


def acts_alike(facts: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether two descriptions are of the same weights, sampler and execution."""
    return _sampler(facts) == _sampler(others) and all(facts[name] == others[name] for name in DECIDING)


def _sampler(facts: Mapping[str, Any]) -> FamilyConfig:
    """How chunks are drawn; a choice that there was not yet when a policy was deployed has its default."""
    options = {name: value for name, value in facts["sampler"].items() if name != "evaluations"}
    return from_json(FamilyConfig, options, REGISTRY, "sampler")


def write_directory(
    directory: Path,
    policy: Policy,
    facts: Mapping[str, Any],
    kind: Format,
    samples: Sequence[int],
    episodes: Sequence[Recorded],
    act: Callable[[int, list[Recorded]], Array],
) -> None:
    """Write a deployed policy; a kill leaves the one that was there before, or the whole new one without a check.

    Args:
        directory: Where, held by the caller.
        policy: In evaluation mode, on the CPU, with its sampler chosen.
        facts: What `describe` says of it, and more.
        kind: onnx or torch.
        samples: Numbers of chunks that networks are written for.
        episodes: Observations that lie beside it.
        act: (episode, observations one by one) -> what the trained policy does [time, a].

    Raises:
        UserError: The policy cannot be written in this format.
    """
    networks = {str(count): f"sampler-{count}.{SUFFIXES[kind]}" for count in samples}
    files = [*networks.values(), runtime.REFERENCE, RUNTIME_FILE]
    old = [path.name for path in directory.glob("sampler-*")]
    with replacing_all(directory, {*files, *old, runtime.MANIFEST, CHECK_FILE}) as folder:
        for count in samples:
            write_network(Sampler(policy, count), folder / networks[str(count)], kind)
        _write_reference(folder / runtime.REFERENCE, input_names(policy), episodes, act)
        shutil.copyfile(runtime.__file__, folder / RUNTIME_FILE)
        hashes = {name: sha256(folder / name) for name in files}
        whole = {**facts, "format": kind, "networks": networks, "files": hashes}
        write_json(folder / runtime.MANIFEST, {**whole, "sha256": runtime.digest_of(whole)})


def _write_reference(
    path: Path,
    names: Mapping[str, str],
    episodes: Sequence[Recorded],
    act: Callable[[int, list[Recorded]], Array],
) -> None:
    """Rows of all episodes one after the other, as `runtime.recorded` reads them."""
    lengths = [len(next(iter(one.values()))) for one in episodes]
    one_by_one = [
        [{key: rows[i] for key, rows in one.items()} for i in range(length)]
        for one, length in zip(episodes, lengths, strict=True)
    ]
    actions = np.concatenate([act(index, observations) for index, observations in enumerate(one_by_one)])
    rows = {name: np.concatenate([one[key] for one in episodes]) for key, name in names.items()}
    np.savez_compressed(path, allow_pickle=False, lengths=np.array(lengths), actions=actions, **rows)


def sha256(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
