"""Acts with a policy that robolearn deployed: one observation in, one action out; no torch, no robolearn.

    agent = Agent("deployed")
    agent.reset()
    while not done:
        robot.send(agent.act({"state": robot.state()}))

This file stands alone: it needs numpy and onnxruntime (and torch instead of it where the directory was written for
torch). A copy of it lies in the directory with policy.json, which says what the policy sees, in which units it acts and
how its chunks are executed. `python robolearn_runtime.py` acts on the recorded observations that lie there too, and
says how far the actions are from those of the trained policy.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

VERSION = 1  # of the directory's layout
TOLERANCE = 1e-5  # of an action, in units of the normalized action
Array = np.ndarray
StrPath = str | os.PathLike[str]
MANIFEST, REFERENCE = "policy.json", "reference.npz"


class RefusedError(ValueError):
    """The directory or an observation is not what it has to be; the message is one line."""


class Policy:
    """A sampler: observations and noise in, chunks of actions out.

    Args:
        directory: What `robolearn deploy` wrote.
        threads: Of the processor.

    Attributes:
        facts: What policy.json says.

    Raises:
        RefusedError: A file is missing or another than was deployed, or the directory is of another version.
    """

    def __init__(self, directory: StrPath, *, threads: int = 1):
        self.directory, self.threads = Path(directory), threads
        self.facts = read_facts(self.directory)
        self._networks: dict[int, Callable[[dict[str, Array]], Array]] = {}

    def chunks(self, seen: Mapping[str, Array], noise: Array, prefix: tuple[Array, int] | None = None) -> Array:
        """Chunks in physical units.

        Args:
            seen: Key -> the last obs_horizon observations [o, ...], the newest last.
            noise: Standard normal [n, *noise_shape], float32, for each of n chunks.
            prefix: Where the policy goes on from actions that are decided: these [p, a], and how many count.

        Returns:
            [n, t, a], float32; index 0 is the action to execute now.

        Raises:
            RefusedError: No network for n chunks was deployed.
        """
        given = {
            one["input"]: np.asarray(seen[key], one["dtype"])[None] for key, one in self.facts["observations"].items()
        }
        given["noise"] = np.asarray(noise, np.float32)
        if prefix is not None:
            given["prefix"] = np.asarray(prefix[0], np.float32)[None]
            given["prefix_length"] = np.array([prefix[1]], np.int64)
        return self.network(len(noise))(given)

    def network(self, samples: int) -> Callable[[dict[str, Array]], Array]:
        """The network that gives so many chunks, from named arrays; it is loaded when it is first asked for."""
        if samples not in self._networks:
            names = self.facts["networks"]
            if str(samples) not in names:
                raise RefusedError(
                    f"{self.directory}: no network for {samples} samples; there are some for {', '.join(names)}"
                )
            load = load_onnx if self.facts["format"] == "onnx" else load_torch
            self._networks[samples] = load(self.directory / names[str(samples)], self.threads)
        return self._networks[samples]


class Agent:
    """Acts for one robot, with the noise and the execution of robolearn's own evaluation.

    Args:
        directory: What `robolearn deploy` wrote, or an open Policy.
        seed: With the index of an episode it fixes the noise; by default as deployed.
        threads: Of the processor.

    Raises:
        RefusedError: See Policy.
    """

    def __init__(self, directory: StrPath | Policy, *, seed: int | None = None, threads: int = 1):
        self.policy = directory if isinstance(directory, Policy) else Policy(directory, threads=threads)
        self.facts = facts = self.policy.facts
        self.seed = facts["seed"] if seed is None else seed
        self.policy.network(facts["execution"]["candidates"])  # now, so that no plan has to wait for it
        self._plan = Plan(facts)
        self._episode, self._begun = -1, False
        self._seen: dict[str, Array] = {}
        self._actions: list[Array] = []
        self._noise, self._stream = None, Stream(0)

    def reset(self, episode: int | None = None) -> None:
        """Begin an episode: what was seen is forgotten, and the noise is that of this episode.

        Args:
            episode: Its index, which with the seed fixes the noise; by default the next one.
        """
        self._episode = self._episode + 1 if episode is None else episode
        self._begun, self._actions = False, []

    def act(self, observation: Mapping[str, Any]) -> Array:
        """The action [a] for the present moment, in physical units; to be called once per control step.

        Args:
            observation: Key -> array as in the demonstrations; others than the policy sees are left alone.

        Raises:
            RefusedError: An observation is missing, has another shape or type, or is not finite.
        """
        obs = {key: checked(key, one, observation) for key, one in self.facts["observations"].items()}
        if self._begun:
            self._seen = {key: np.concatenate([self._seen[key][1:], value[None]]) for key, value in obs.items()}
        else:
            self._begin(obs)
        if not self._actions:
            self._plan.take(self._choose(self._sample()))
            self._actions = list(self._plan.execute())
        return self._actions.pop(0)

    def _begin(self, obs: dict[str, Array]) -> None:
        self._episode, self._begun = max(self._episode, 0), True
        self._seen = {key: np.repeat(value[None], self.facts["obs_horizon"], 0) for key, value in obs.items()}
        self._stream, self._noise = Stream(episode_seed(self.seed, self._episode)), None
        self._plan.clear()

    def _sample(self) -> Array:
        execution, horizon = self.facts["execution"], self.facts["prefix_horizon"]
        if self._noise is None or not execution["keep_noise"]:
            self._noise = self._stream.normal((execution["candidates"], *self.facts["noise_shape"]))
        prefix = (self._plan.actions[:horizon], execution["delay"] * self._plan.begun) if horizon else None
        return self.policy.chunks(self._seen, self._noise, prefix)

    def _choose(self, candidates: Array) -> Array:
        """The candidate nearest to what is left of the previous chunk, in normalized units."""
        if len(candidates) == 1 or not self._plan.begun:
            return candidates[0]
        center, scale = (np.array(self.facts["action"][name], np.float32) for name in ("center", "scale"))
        rest = self._plan.rest.astype(np.float32)
        one, other = (((x - center) / scale).astype(np.float64) for x in (candidates[:, : len(rest)], rest))
        return candidates[np.square(one - other).reshape(len(one), -1).mean(1).argmin()]


class Plan:
    """The coming actions, and what a newer chunk does to them.

    Attributes:
        actions: [t, a], index 0 is next; zeros where no chunk has reached.
    """

    def __init__(self, facts: Mapping[str, Any]):
        execution, horizon = facts["execution"], facts["action_horizon"]
        self.period = execution["exec_horizon"] if execution["ensembling"] is None else 1
        self.delay, self.shape = execution["delay"], (horizon, facts["action"]["dim"])
        self.shares = np.ones(horizon)  # of a chunk in the average with those before it, by their number
        if execution["ensembling"] is not None:
            weights = np.exp(-execution["ensembling"] * np.arange(horizon))
            self.shares = weights / np.cumsum(weights)
        self.clear()

    def clear(self) -> None:
        """Forget all chunks."""
        self.actions, self.counts = np.zeros(self.shape), np.zeros(self.shape[0], int)

    @property
    def begun(self) -> bool:
        """Whether there is a chunk already."""
        return bool(self.counts[0] > 0)

    @property
    def rest(self) -> Array:
        """What is left of older chunks, [r, a]."""
        return self.actions[: self.shape[0] - self.period]

    def take(self, chunk: Array) -> None:
        """Take over a new chunk [t, a]; with a delay its first actions come too late."""
        reached = (np.arange(len(chunk)) >= self.delay) | (not self.begun)
        share = (reached * self.shares[self.counts])[:, None]
        self.actions = share * chunk + (1 - share) * self.actions
        self.counts = self.counts + 1

    def execute(self) -> Array:
        """The actions until the next chunk is asked for, [h, a]; they are taken off."""
        now = self.actions[: self.period].astype(np.float32)
        self.actions = np.concatenate([self.actions[self.period :], np.zeros((self.period, self.shape[1]))])
        self.counts = np.concatenate([self.counts[self.period :], np.zeros(self.period, int)])
        return now


class Stream:
    """The normal draws of torch's generator on the CPU: a Mersenne twister (Matsumoto and Nishimura 1998).

    Torch draws 16 and more at once: of every 16 uniform numbers of 24 bits the first eight become radii and the last
    eight angles (Box and Muller 1958); what does not fill 16 is drawn once more, together with the numbers before it.
    Fewer come in pairs of 53 bits, and the second of an odd number waits for the next call.
    """

    def __init__(self, seed: int):
        self._bits, self._waiting = np.random.MT19937(), None
        self._bits._legacy_seeding(seed & 0xFFFFFFFF)  # init_genrand, as torch seeds it

    def normal(self, shape: Sequence[int]) -> Array:
        """Standard normal numbers, float32."""
        count = int(np.prod(shape))
        return (self._many(count) if count >= 16 else self._few(count)).reshape(shape)

    def _many(self, count: int) -> Array:
        values, whole = self._uniform24(count), count // 16 * 16
        values[:whole] = box_muller(values[:whole])
        if whole < count:
            values[-16:] = box_muller(self._uniform24(16))
        return values

    def _uniform24(self, count: int) -> Array:
        return (self._bits.random_raw(count) & 0xFFFFFF).astype(np.float32) * np.float32(2**-24)

    def _few(self, count: int) -> Array:
        values = [] if self._waiting is None or count == 0 else [self._waiting]
        while len(values) < count:
            words = self._bits.random_raw(4).astype(np.uint64)
            u, v = ((words[::2] << np.uint64(32) | words[1::2]) & np.uint64(2**53 - 1)) * 2.0**-53
            radius, angle = np.sqrt(-2 * np.log1p(-v)), 2 * np.pi * u
            values += [radius * np.cos(angle), radius * np.sin(angle)]
        if count:
            self._waiting = values[count] if len(values) > count else None
        return np.array(values[:count], np.float32)


def box_muller(uniform: Array) -> Array:
    """Normal numbers from uniform ones in [0, 1), 16 by 16."""
    first, second = uniform.reshape(-1, 2, 8).transpose(1, 0, 2)
    radius, angle = np.sqrt(np.float32(-2) * np.log(np.float32(1) - first)), np.float32(2 * np.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()


def episode_seed(seed: int, episode: int) -> int:
    """The seed of an episode's noise."""
    return int(np.random.SeedSequence((seed, episode)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def checked(key: str, expected: Mapping[str, Any], observation: Mapping[str, Any]) -> Array:
    """An observation as the networks take it."""
    if key not in observation:
        raise RefusedError(f"observation {key!r} is missing; given: {', '.join(observation) or 'none'}")
    value, shape, dtype = numbers(key, observation[key]), tuple(expected["shape"]), np.dtype(expected["dtype"])
    recorded, is_seen = expected.get("recorded"), value.shape == shape and value.dtype == np.uint8
    if dtype == np.uint8 and not is_seen and recorded is not None and value.shape == tuple(recorded["shape"]):
        value = seen_image(key, value, recorded)
    if dtype == np.uint8 and value.dtype != np.uint8:
        raise RefusedError(f"observation {key!r} is an image of type {value.dtype}, expected uint8, 0 .. 255")
    if value.shape != shape:
        raise RefusedError(f"observation {key!r} has shape {value.shape}, the policy was trained on {shape}")
    return value.astype(dtype)


def numbers(key: str, value: object) -> Array:
    """An observation as an array, every number of which is finite in single precision, in which networks compute."""
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths
        raise RefusedError(f"observation {key!r} is no array, but {brief(value)}") from None
    if array.dtype.kind not in "biuf":
        raise RefusedError(f"observation {key!r} holds no numbers, but {brief(array.ravel()[:4])} ({array.dtype})")
    with np.errstate(over="ignore"):
        is_finite = array.dtype.kind != "f" or np.isfinite(array.astype(np.float32)).all()
    if not is_finite:
        raise RefusedError(f"observation {key!r} is not finite in single precision: {array.ravel()[:4]}")
    return array


def brief(value: object) -> str:
    """What a value looks like, in part of a line."""
    return f"{' '.join(repr(value).split()):.60}"


def seen_image(key: str, image: Array, recorded: Mapping[str, Any]) -> Array:
    """An image as the demonstrations had it, as uint8 [h, w, c]."""
    low, high = recorded["low"], recorded["high"]
    image = np.moveaxis(image, 0, -1) if recorded["axes"] == "chw" else image.reshape(*image.shape[:2], -1)
    if image.dtype == np.uint8 and (low, high) == (0, 255):
        return image
    slack = min(0.05 * (high - low), 1.0) if image.dtype.kind == "f" else 0.0  # filters overshoot
    if not recorded["is_depth"] and not (low - slack <= image.min() and image.max() <= high + slack):
        raise RefusedError(f"observation {key!r}: pixels beyond {low:g} .. {high:g}, the range of the demonstrations")
    exact = image.astype(np.float64 if image.dtype.itemsize > 4 else np.float32)
    return np.rint((np.clip(exact, low, high) - low) * (255 / (high - low))).astype(np.uint8)


def read_facts(directory: Path) -> dict[str, Any]:
    """What policy.json says, once every file is known to be the one that was deployed."""
    path = directory / MANIFEST
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        version, files, is_whole = facts["version"], facts["files"], facts["sha256"] == digest_of(facts)
    except FileNotFoundError:
        raise RefusedError(f"{directory} is no deployed policy: it has no {MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RefusedError(f"{path}: damaged ({type(error).__name__}: {error})") from None
    if version != VERSION:
        raise RefusedError(f"{path}: version {version!r:.20}, this runtime reads {VERSION}; deploy the run again")
    if not is_whole:
        raise RefusedError(f"{path}: changed since it was deployed")
    if {*facts["networks"].values(), REFERENCE} - set(files) or any(Path(name).name != name for name in files):
        raise RefusedError(f"{path}: names files that do not belong to it")
    for name, expected in files.items():
        try:
            content = (path.parent / name).read_bytes()
        except OSError:
            raise RefusedError(f"{path.parent / name}: missing; deploy the run again") from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise RefusedError(f"{path.parent / name}: changed since it was deployed (its sha256 is another)")
    return facts


def digest_of(facts: Mapping[str, Any]) -> str:
    """sha256 of what policy.json says, without the digest itself."""
    rest = {key: value for key, value in facts.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def load_onnx(path: Path, threads: int) -> Callable[[dict[str, Array]], Array]:
    """A network as a function of named arrays."""
    try:
        import onnxruntime
    except ImportError:
        raise RefusedError("onnxruntime is not installed; pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it raises what it likes; one that is too old does not know the operations
        raise RefusedError(
            f"{path}: onnxruntime {onnxruntime.__version__} refuses it ({' '.join(str(error).split()):.200})"
        ) from None
    taken = [one.name for one in session.get_inputs()]  # without those that no number of the chunk depends on
    return lambda given: np.asarray(session.run(None, {name: given[name] for name in taken})[0])


def load_torch(path: Path, threads: int) -> Callable[[dict[str, Array]], Array]:
    """The same, of a program of torch.export, with nothing pickled in it."""
    try:
        import torch
    except ImportError:
        raise RefusedError(
            "torch is not installed; this directory was written for torch, deploy with format onnx"
        ) from None
    with zipfile.ZipFile(path) as content:
        pickled = [one.filename for one in content.infolist() if one.filename.endswith(".pt") and one.file_size]
        if pickled or any(b'"use_pickle": true' in content.read(name) for name in content.namelist() if "json" in name):
            raise RefusedError(f"{path}: holds pickled objects, which are not opened")
    torch.set_num_threads(threads)
    network = torch.export.load(path).module()

    def call(given: dict[str, Array]) -> Array:
        with torch.inference_mode():
            return network({name: torch.from_numpy(value) for name, value in given.items()}).numpy()

    return call


def difference(policy: Policy, expected: Callable[[int, list[dict[str, Array]]], Array] | None = None) -> Array:
    """How far this runtime's actions on the recorded observations are from those of the trained policy.

    Args:
        policy: An open directory.
        expected: (episode, observations one by one) -> the trained policy's actions [time, a]; by default those that
            it had when it was deployed.

    Returns:
        Of every action the largest difference, in units of the normalized action, [time].
    """
    agent, scale, gaps = Agent(policy), np.array(policy.facts["action"]["scale"]), []
    for episode, observations, actions in recorded(policy):
        wanted = actions if expected is None else expected(episode, observations)
        gaps.append(np.abs((follow(agent, episode, observations) - wanted) / scale).max(1))
    return np.concatenate(gaps)


def follow(agent: Any, episode: int, observations: Sequence[Mapping[str, Array]]) -> Array:
    """An agent's actions [time, a] on a list of observations."""
    agent.reset(episode)
    return np.stack([agent.act(one) for one in observations])


def recorded(policy: Policy) -> Iterator[tuple[int, list[dict[str, Array]], Array]]:
    """Recorded episodes: their index, their observations one by one, and the trained policy's actions [time, a]."""
    with np.load(policy.directory / REFERENCE, allow_pickle=False) as stored:
        arrays = dict(stored)
    ends = np.cumsum(arrays["lengths"])
    for episode, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        rows = {key: arrays[one["input"]] for key, one in policy.facts["observations"].items()}
        observations = [{key: values[i] for key, values in rows.items()} for i in range(start, end)]
        yield episode, observations, arrays["actions"][start:end]


def main() -> None:
    """Act on the recorded observations beside this file, and say how far off the actions are."""
    try:
        gaps = difference(Policy(Path(__file__).parent))
    except RefusedError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    largest = float(gaps.max())
    print(f"largest difference of {len(gaps)} actions: {largest:.2g} of the normalized action (at most {TOLERANCE:g})")
    sys.exit(int(not largest <= TOLERANCE))


if __name__ == "__main__":
    main()
