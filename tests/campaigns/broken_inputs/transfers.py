"""Demonstrations of other projects that are imported, and stores that are exported."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robolearn import seeds
from robolearn.commands.main import main as cli
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode
from tests.campaigns.broken_inputs.mutations import Rng, break_document, cut, lengthen, replace
from tests.campaigns.broken_inputs.subjects import LENGTHS, Subject, break_store_file, episodes

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
DOCUMENTS = (".json", ".zarray", ".zattrs", ".zgroup")
# Without these nobody can know that there was more.
UNMISSED = {f"{name}{i}{end}" for name, end in (("", ".npz"), ("episode_", ".hdf5")) for i in range(len(LENGTHS))}
UNMISSED |= {"robolearn.json", ".zarray", ".zattrs", ".zgroup"}
TABLES, ARRAYS = (".parquet",), (".hdf5", ".h5")


def write_pictures(path: Path) -> None:
    """A store with a camera, rewards and texts."""
    rng, made = np.random.default_rng(seeds.FIXED), []
    for i, one in enumerate(episodes()):
        top = rng.integers(0, 256, (len(one), 12, 16, 3), np.uint8)
        more = {"top": top, "reward": rng.normal(size=(len(one), 1)).astype(np.float32)}
        made.append(Episode({**one.obs, **more}, one.actions, {"success": i != 1, "task": i % 2}))
    attrs = StoreAttrs(control_dt=0.1, obs_keys=("state", "top"), tasks=("push", "pull"))
    DemoWriter.create(path, attrs=attrs).extend(made)


def write_d4rl(path: Path) -> None:
    """All episodes one after the other."""
    made = episodes()
    with h5py.File(path, "w") as file:
        file["observations"] = np.concatenate([one.obs["state"] for one in made])
        file["actions"] = np.concatenate([one.actions for one in made])
        file["terminals"] = np.concatenate([np.arange(len(one)) == len(one) - 1 for one in made])


def write_npz(path: Path) -> None:
    """A file per episode."""
    path.mkdir()
    for i, one in enumerate(episodes()):
        np.savez(path / f"{i}.npz", state=one.obs["state"], action=one.actions)


class Imported(Subject):
    """Data sets in all formats that are imported.

    Their numbers have no checksum, so no single bits are flipped: files are lost, cut or taken by something else, and
    documents, tables and arrays say what cannot be.
    """

    name = "import"

    def make(self) -> None:
        """Export a store to all formats that are written, and write those that are not."""
        self.base.mkdir()
        store = self.folder / "store.zarr"
        write_pictures(store)
        for kind in ("lerobot", "robomimic", "act", "minari", "diffusion_policy"):
            cli(["export", kind, str(store), "--out", str(self.base / kind)])
        cli(["export", "lerobot", str(store), "--out", str(self.base / "lerobot_exact"), "--images", "exact"])
        write_d4rl(self.base / "d4rl")
        write_npz(self.base / "npz")

    def mutate(self, target: Path, rng: Rng) -> str:
        """Break a file of one data set, and leave the others out."""
        kinds = sorted(path.name for path in target.iterdir())
        chosen = kinds[int(rng.integers(len(kinds)))]
        for kind in kinds:
            if kind != chosen:
                drop(target / kind)
        (target / "auto").write_text(str(rng.random() < 0.3))
        source = target / chosen
        files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        path = files[int(rng.integers(len(files)))]
        return f"{chosen}: {path.name}: {break_file(path, rng)}"

    def run(self, target: Path) -> Any:
        """Import what is there; return what each store holds."""
        auto = (target / "auto").exists() and (target / "auto").read_text() == "True"
        (target / "auto").unlink(missing_ok=True)
        stores = {}
        for source in sorted(target.iterdir()):
            kind = "auto" if auto else source.name.removesuffix("_exact")
            out = self.folder / "out.zarr"
            drop(out)
            with redirect_stdout(io.StringIO()) as said:
                cli(["import", kind, str(source), "--out", str(out)])
            stores[source.name] = {**holds(DemoStore.open(out)), "said": said.getvalue()}
            drop(out)
        return stores

    def is_same(self, effect: Any, whole: Any) -> bool:
        """The keys that there are hold the same; those that are left out are named, and actions never are.

        Where nothing says any more where episodes end, that is said.
        """
        for kind, store in effect.items():
            if kind == "d4rl" and "so that all rows are one" in store["said"]:
                continue
            had = whole[kind]["keys"]
            lacking = [key for key in had if key not in store["keys"]]
            changed = [key for key, digest in store["keys"].items() if had.get(key, digest) != digest]
            if changed or any(key not in store["said"] for key in lacking) or "action" in lacking:
                return False
        return True

    def left(self) -> list[str]:
        """What a refusal left behind."""
        return sorted(path.name for path in self.folder.glob("out.zarr*"))


def holds(store: DemoStore) -> dict[str, Any]:
    """What counts of a store."""
    return {"keys": {key: store.content_hash([key]) for key in store.keys}, "episodes": store.num_episodes}


def drop(path: Path) -> None:
    """Remove a file or folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def break_file(path: Path, rng: Rng) -> str:
    """Lose, cut, replace or rewrite a file; say how."""
    inside: dict[tuple[str, ...], Callable[[Path, Rng], str]] = {
        DOCUMENTS: break_document,
        TABLES: break_table,
        ARRAYS: break_arrays,
    }
    is_hdf5 = path.read_bytes()[:4] == b"\x89HDF"
    known = [how for ends, how in inside.items() if path.name.endswith(ends) or (ends == ARRAYS and is_hdf5)]
    if known and rng.random() < 0.6:
        return known[0](path, rng)
    choice, content = int(rng.integers(8)), path.read_bytes()
    if choice == 0 and path.name not in UNMISSED:
        path.unlink()
        return "removed"
    if choice == 1 and path.name not in UNMISSED:
        path.unlink()
        path.mkdir()
        return "a folder in its place"
    if choice == 2:
        path.write_bytes(POINTER)
        return "a pointer of LFS"
    if choice == 3:
        path.write_bytes(b"<html>404 not found</html>")
        return "a page in its place"
    how = (cut, cut, lengthen, replace)[max(choice, 4) - 4]
    path.write_bytes(how(content, rng) if content else b"")
    return how.__name__


def break_table(path: Path, rng: Rng) -> str:
    """Another column in the place of one of a parquet file."""
    table = pq.read_table(path)
    at = int(rng.integers(table.num_columns))
    name, column, n = table.column_names[at], table.column(at), table.num_rows
    wrong: dict[str, Callable[[], Any]] = {
        "text": lambda: pa.array(["x"] * n),
        "null": lambda: pa.nulls(n),
        "nulls": lambda: pa.array([None] * n, column.type),
        "one null": lambda: pa.array([None, *column.to_pylist()[1:]], column.type),
        "NaN": lambda: pa.array([float("nan")] * n),
        "huge": lambda: pa.array([2**62] * n),
        "negative": lambda: pa.array([-7] * n),
        "zeros": lambda: pa.array([0] * n),
        "ragged": lambda: pa.array([[0.0] * (i % 3) for i in range(n)]),
        "empty lists": lambda: pa.array([[] for _ in range(n)], pa.list_(pa.float32())),
        "bytes": lambda: pa.array([b"\x00\x01"] * n),
        "dates": lambda: pa.array([0] * n, pa.timestamp("us")),
        "structs": lambda: pa.array([{"bytes": b"no image", "path": None}] * n),
        "reversed": lambda: column.take(pa.array(range(n)[::-1])),
    }
    what = [*wrong, "removed", "renamed", "no rows", "twice"][int(rng.integers(len(wrong) + 4))]
    if what == "removed":
        table = table.remove_column(at)
    elif what == "renamed":
        table = table.rename_columns([f"{name}_" if c == name else c for c in table.column_names])
    elif what == "no rows":
        table = table.slice(0, 0)
    elif what == "twice":
        table = table.append_column(name, column)
    else:
        table = table.set_column(at, name, wrong[what]())
    pq.write_table(table.replace_schema_metadata({}), path)
    return f"{name} {what}"


def break_arrays(path: Path, rng: Rng) -> str:
    """Another data set, group, link or attribute in the place of one of an HDF5 file."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        if rng.random() < 0.3:
            return break_attribute(file, ["/", *names], rng)
        name = names[int(rng.integers(len(names)))]
        old = file[name]
        whole = np.asarray(old[()]) if isinstance(old, h5py.Dataset) else np.zeros((3, 2))
        wrong: dict[str, Any] = {
            "text": np.full(whole.shape[:1] or (1,), b"x"),
            "NaN": np.full(whole.shape, np.nan),
            "complex": np.zeros(whole.shape, np.complex64),
            "compound": np.zeros(whole.shape[:1], [("a", "f4"), ("b", "i4")]),
            "shorter": whole[:1] if whole.ndim else whole,
            "no rows": whole[:0] if whole.ndim else whole,
            "longer": np.concatenate([whole, whole]) if whole.ndim else whole,
            "deeper": whole[..., None, None],
            "scalar": 3.0,
            "empty": h5py.Empty("f4"),
            "outer link": h5py.ExternalLink("other.hdf5", "/x"),
            "soft link": h5py.SoftLink("/nowhere"),
            "loop": h5py.SoftLink("/"),
        }
        what = [*wrong, "removed", "renamed", "group"][int(rng.integers(len(wrong) + 3))]
        if what == "renamed":
            file.move(name, f"{name}_")
            return f"{name} {what}"
        del file[name]
        if what == "group":
            file.create_group(name)
        elif what != "removed":
            file[name] = wrong[what]
    return f"{name} {what}"


def break_attribute(file: h5py.File, names: list[str], rng: Rng) -> str:
    """Another value of an attribute, or none."""
    places = [(name, attr) for name in names for attr in file[name].attrs]
    if not places:
        file.attrs["env_args"] = "{"
        return "attribute env_args = {"
    name, attr = places[int(rng.integers(len(places)))]
    values: tuple[Any, ...] = (
        "",
        "text",
        "{",
        "[]",
        '{"env_kwargs": 3}',
        -1,
        2**62,
        np.nan,
        np.zeros(3),
        h5py.Empty("f4"),
    )
    choice = int(rng.integers(len(values) + 1))
    del file[name].attrs[attr]
    if choice < len(values):
        file[name].attrs[attr] = values[choice]
    return f"attribute {attr} of {name} = {values[choice] if choice < len(values) else 'removed'!r:.40}"


class Exported(Imported):
    """A store that is exported and imported again; `is_same` and what it allows are those of an import."""

    name = "export"

    def make(self) -> None:
        """Write it."""
        self.base.mkdir()
        write_pictures(self.base / "store.zarr")

    def mutate(self, target: Path, rng: Rng) -> str:
        """A file of the store."""
        kinds = ("lerobot", "robomimic", "act", "minari", "diffusion_policy")
        kind = kinds[int(rng.integers(len(kinds)))]
        (target / "kind").write_text(kind)
        store = target / "store.zarr"
        return f"{kind}: {break_store_file(store, rng)}"

    def run(self, target: Path) -> Any:
        """Export, import again, and look."""
        kind = (target / "kind").read_text() if (target / "kind").exists() else "robomimic"
        out, again = self.folder / "out", self.folder / "again.zarr"
        for path in (out, again):
            drop(path)
        with redirect_stdout(io.StringIO()) as said:
            cli(["export", kind, str(target / "store.zarr"), "--out", str(out), "--images", "exact"])
        cli(["import", kind, str(out), "--out", str(again)])
        held = {"": {**holds(DemoStore.open(again)), "said": said.getvalue()}}
        for path in (out, again):
            drop(path)
        return held

    def left(self) -> list[str]:
        """What a refusal left behind."""
        return sorted(path.name for path in self.folder.glob("out*"))
