"""What is broken, what is then done with it, and what that must come to: stores and zips."""

from __future__ import annotations

import shutil
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from robolearn import seeds
from robolearn.commands.main import main as cli
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode
from tests.campaigns.broken_inputs.mutations import BYTES, Rng, break_bytes, break_document, flip
from tests.campaigns.kills.work import ENV

LENGTHS = (5, 7, 6, 9)
DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


class Subject(ABC):
    """A whole object of which every case breaks a copy.

    An accepted case is right only where its effect is that of the whole object: nothing of meaning was broken.

    Attributes:
        name: Kind of the inputs.
        base: The whole object, a file or a directory.
    """

    name: str
    base: Path

    def __init__(self, folder: Path):
        self.folder = folder / self.name.replace(" ", "-")
        self.folder.mkdir(parents=True)
        self.base = self.folder / "base"
        self.make()

    @abstractmethod
    def make(self) -> None:
        """Make the whole object."""

    def copy(self, target: Path) -> None:
        """Put a fresh copy in the target's place."""
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        if self.base.is_dir():
            shutil.copytree(self.base, target, symlinks=True)
        else:
            shutil.copy(self.base, target)

    @abstractmethod
    def mutate(self, target: Path, rng: Rng) -> str:
        """Break the target; say how."""

    @abstractmethod
    def run(self, target: Path) -> Any:
        """Use the target as a user does; return the effect as JSON values."""

    def is_same(self, effect: Any, whole: Any) -> bool:
        """Whether an effect is that of the whole object."""
        return effect == whole

    def left(self) -> list[str]:
        """What a refusal left behind of what it was to write."""
        return []


def episodes(dim: int = 2) -> list[Episode]:
    """A few short episodes of random numbers."""
    rng, made = np.random.default_rng(seeds.FIXED), []
    for i, length in enumerate(LENGTHS):
        state = rng.standard_normal((length, dim)).astype(np.float32)
        made.append(Episode({"state": state}, rng.uniform(-1, 1, (length, 2)).astype(np.float32), {"number": i}))
    return made


def write_store(path: Path, env: str = ENV, dim: int = 2) -> None:
    """A store of this toolkit."""
    attrs = StoreAttrs(env_id=env, control_dt=0.1, obs_keys=("state",))
    DemoWriter.create(path, attrs=attrs).extend(episodes(dim))


def write_foreign(path: Path) -> None:
    """A store as Diffusion Policy writes it, zarr v2 without checksums."""
    root, made = zarr.open_group(path, mode="w", zarr_format=2), episodes()
    arrays = {
        "data/state": np.concatenate([e.obs["state"] for e in made]),
        "data/action": np.concatenate([e.actions for e in made]),
        "meta/episode_ends": np.cumsum(LENGTHS),
    }
    for name, array in arrays.items():
        root.create_array(name, data=array, chunks=(5, *array.shape[1:]))


def break_store_file(store: Path, rng: Rng) -> str:
    """Break one file of a store: its bytes, or a value of a document; say which."""
    files = sorted(path for path in store.rglob("*") if path.is_file())
    documents = [path for path in files if path.name in DOCUMENTS]
    document = rng.random() < 0.5
    choices = documents if document else files
    path = choices[int(rng.integers(len(choices)))]
    return f"{path.relative_to(store).parent}/{break_document(path, rng) if document else break_bytes(path, rng)}"


class Store(Subject):
    """A directory, inspected and read."""

    name = "store"
    make_base = staticmethod(write_store)

    def make(self) -> None:
        """Write it."""
        self.make_base(self.base)

    def mutate(self, target: Path, rng: Rng) -> str:
        """One file: its bytes, or a value of a document."""
        return break_store_file(target, rng)

    def run(self, target: Path) -> Any:
        """Inspect, which says what is wrong by its exit status; then read what is trained on."""
        try:
            cli(["inspect", str(target)])
        except SystemExit as end:
            if end.code:
                raise
        return read(target)

    def is_same(self, effect: Any, whole: Any) -> bool:
        """The numbers are the same; what a store says of itself has no checksum, and may be something else."""
        env, dt, keys = effect["env_id"], effect["control_dt"], effect["obs_keys"]
        said = (env is None or isinstance(env, str)) and (dt is None or 0 < dt < 1e4) and keys in (None, ["state"])
        return effect["content"] == whole["content"] and said


def read(path: Path) -> Any:
    """What is trained on."""
    store = DemoStore.open(path)
    said = {name: getattr(store.attrs, name) for name in ("env_id", "control_dt", "obs_keys")}
    return {"content": store.content_hash(["action", "state"]), **said}


class Foreign(Store):
    """A directory of another project, without checksums: what is flipped inside of its chunks nobody can notice."""

    name = "foreign store"
    make_base = staticmethod(write_foreign)

    def mutate(self, target: Path, rng: Rng) -> str:
        """A document, a chunk that is lost or cut, or numbers that cannot be."""
        files = sorted(path for path in target.rglob("*") if path.is_file())
        choice, documents = rng.random(), [path for path in files if path.name in DOCUMENTS]
        if choice < 0.5:
            path = documents[int(rng.integers(len(documents)))]
            return f"{path.relative_to(target).parent}/{break_document(path, rng)}"
        if choice < 0.7:
            path = documents[int(rng.integers(len(documents)))]
            return f"{path.relative_to(target).parent}/{break_bytes(path, rng)}"
        if choice < 0.8:
            chunks = [path for path in files if path not in documents]
            path = chunks[int(rng.integers(len(chunks)))]
            path.write_bytes(path.read_bytes()[: int(rng.integers(path.stat().st_size))])
            return f"{path.relative_to(target)} cut"
        return self.replace_array(target, rng)

    def replace_array(self, target: Path, rng: Rng) -> str:
        """Another array in the place of one, of the right or of another length."""
        names = ("data/state", "data/action", "meta/episode_ends")
        name, total = names[int(rng.integers(3))], sum(LENGTHS)
        whole = np.cumsum(LENGTHS) if name.startswith("meta") else np.ones((total, 2))
        wrong = {
            "complex": whole.astype(np.complex64),
            "text": whole.astype("U8"),
            "bytes": whole.astype("S8"),
            "NaN": np.full(whole.shape, np.nan),
            "infinite": np.where(np.arange(len(whole)).reshape(-1, *[1] * (whole.ndim - 1)) == 2, np.inf, whole),
            "beyond float32": whole * 1e300,
            "negative": -whole.astype(np.int64) * (1 if name.startswith("meta") else 2**40 + 1),
            "shorter": whole[:2],
            "empty": whole[:0],
            "longer": np.concatenate([whole, whole]).astype(np.float64),
            "deeper": whole[..., None, None],
            "scalar": np.float64(3.0),
            "dates": whole.astype("M8[s]"),
        }
        what = sorted(wrong)[int(rng.integers(len(wrong)))]
        array = np.asarray(wrong[what])
        zarr.open_group(target, mode="r+", zarr_format=2).create_array(name, data=array, overwrite=True)
        return f"{name} {what}"


class Zip(Store):
    """A zip of a store, whose entries have checksums."""

    name = "zip"

    def make(self) -> None:
        """Pack a store."""
        write_store(self.folder / "store")
        pack(self.folder / "store", self.base)

    def mutate(self, target: Path, rng: Rng) -> str:
        """Bytes of the zip, its flags, or its entries."""
        choice = int(rng.integers(10))
        if choice < 5:
            how = BYTES[int(rng.integers(len(BYTES)))]
            target.write_bytes(how(target.read_bytes(), rng))
            return how.__name__
        if choice == 5:
            return self.set_flags(target, rng)
        if choice == 6:  # two entries of one name: which counts depends on who reads
            files = sorted(path for path in (self.folder / "store").rglob("*") if path.is_file())
            path = files[int(rng.integers(len(files)))]
            with zipfile.ZipFile(target, "a") as archive:
                archive.writestr(path.relative_to(self.folder / "store").as_posix(), flip(path.read_bytes(), rng))
            return f"{path.name} twice"
        if choice == 7:
            names = ("../out", "/etc/x", "..\\x", "data/../../x", "C:\\x", "\x00", "data//x", "data/\x1b[2J/zarr.json")
            name = names[int(rng.integers(len(names)))]
            with zipfile.ZipFile(target, "a") as archive:
                archive.writestr(zipfile.ZipInfo(name) if name != "\x00" else "x\x00y", b"x")
            return f"an entry {name!r}"
        inside = self.folder / "changed"
        shutil.rmtree(inside, ignore_errors=True)
        shutil.copytree(self.folder / "store", inside)
        if choice == 8:
            said = super().mutate(inside, rng)
        else:
            files = sorted(path for path in inside.rglob("*") if path.is_file())
            path = files[int(rng.integers(len(files)))]
            path.write_bytes(path.read_bytes() + bytes(1 << 27))
            said = f"{path.relative_to(inside)}: a bomb"
        pack(inside, target)
        return f"inside {said}"

    def set_flags(self, target: Path, rng: Rng) -> str:
        """Another flag, method or size in the heads of the entries."""
        content = bytearray(target.read_bytes())
        field, value = ((8, 1), (10, 99), (10, 12), (24, 255), (20, 255), (16, 1))[int(rng.integers(6))]
        begin = content.find(b"PK\x01\x02")
        while begin >= 0:
            content[begin + field] ^= value
            begin = content.find(b"PK\x01\x02", begin + 4)
        target.write_bytes(content)
        return f"byte {field} of every entry's head"


def pack(folder: Path, target: Path) -> None:
    """Zip a folder."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
