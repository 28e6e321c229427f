"""What every format is promised: all of it or nothing at the target, and memory that does not grow."""

import errno
import os
import shutil

import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.formats import transfer
from robolearn.formats.format import ExportOptions, Format, ImportOptions, Recording
from robolearn.formats.registry import FORMATS, recognize
from robolearn.formats.transfer import export_demos, import_demos
from robolearn.locks import hold
from robolearn.types import Episode


def episode(steps, seed=0):
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(steps, 3)).astype(np.float32)
    return Episode({"state": state}, state[:, :2], {"seed": seed})


def read_lengths(source, options):
    """A line per episode: its number of steps, or a word where the file is damaged."""

    def episodes():
        for seed, line in enumerate(source.read_text().split()):
            if not line.isdigit():
                raise UserError(f"{source}: line {seed} is damaged")
            yield episode(int(line), seed)

    return Recording(StoreAttrs(env_id="none:None-v0"), episodes(), ("colors are not kept",))


def write_lengths(store, out, options):
    count = min(store.num_episodes, options.episodes or store.num_episodes)
    out.write_text(" ".join(str(len(store.episode(i))) for i in range(count)))
    if "refuse" in str(store.path):
        raise UserError(f"{store.path} cannot be held")
    return ("numbers are not kept",)


@pytest.fixture
def lengths(monkeypatch):
    entry = Format("lengths", read_lengths, write_lengths, lambda path: path.suffix == ".lengths")
    monkeypatch.setitem(FORMATS, "lengths", entry)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "demos.lengths"
    path.write_text("3 5 2 7")
    return path


def left(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_in_and_out(tmp_path, lengths, source):
    done = import_demos(source, tmp_path / "x.zarr", options=ImportOptions(env_id="mine:Mine-v0"))
    assert (done.num_episodes, done.num_steps, done.format) == (4, 17, "lengths")
    assert done.lost == ("colors are not kept",)
    store = DemoStore.open(tmp_path / "x.zarr")
    assert store.attrs.env_id == "mine:Mine-v0"
    np.testing.assert_array_equal(store.episode(3).actions, episode(7, 3).actions)
    out = export_demos(tmp_path / "x.zarr", tmp_path / "y.lengths", "lengths", ExportOptions(episodes=3))
    assert (out.num_episodes, out.num_steps, out.lost) == (3, 10, ("numbers are not kept",))
    assert (tmp_path / "y.lengths").read_text() == "3 5 2"
    assert left(tmp_path) == ["demos.lengths", "x.zarr", "y.lengths"]


def test_no_more_episodes_are_read_than_are_wanted(tmp_path, lengths, source):
    source.write_text("3 5 damaged")
    assert import_demos(source, tmp_path / "x.zarr", options=ImportOptions(episodes=2)).num_steps == 8


def test_more_episodes_than_a_machine_counts_are_all(tmp_path, lengths, source):
    assert import_demos(source, tmp_path / "x.zarr", options=ImportOptions(episodes=10**30)).num_episodes == 4


def test_what_is_damaged_halfway_leaves_nothing(tmp_path, lengths, source, monkeypatch):
    monkeypatch.setattr(transfer, "BATCH_BYTES", 1)
    source.write_text("3 5 damaged 2")
    with pytest.raises(UserError, match="line 2 is damaged"):
        import_demos(source, tmp_path / "x.zarr")
    assert left(tmp_path) == ["demos.lengths"]
    source.write_text("3")
    import_demos(source, tmp_path / "refuse.zarr")
    with pytest.raises(UserError, match="cannot be held"):
        export_demos(tmp_path / "refuse.zarr", tmp_path / "y.lengths", "lengths")
    assert left(tmp_path) == ["demos.lengths", "refuse.zarr"]


def test_a_source_that_cannot_be_read_is_no_target_that_cannot_be_written(tmp_path, lengths, monkeypatch):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"folder: cannot be read \(\S*folder: Is a directory\)$"):
        import_demos(tmp_path / "folder", tmp_path / "x.zarr", "lengths")

    def episodes():
        yield episode(3)
        (tmp_path / "gone").read_text()

    entry = Format("", lambda source, options: Recording(StoreAttrs(), episodes()))
    monkeypatch.setitem(FORMATS, "halfway", entry)
    with pytest.raises(UserError, match=r"folder: cannot be read \(\S*gone: No such file or directory\)$"):
        import_demos(tmp_path / "folder", tmp_path / "x.zarr", "halfway")
    assert left(tmp_path) == ["folder"]


def test_an_import_that_the_disk_refuses_claims_no_episode_to_be_safe(tmp_path, lengths, source, monkeypatch):
    def refuse(self, episodes, ends, layout):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(DemoWriter, "_write", refuse)
    with pytest.raises(UserError, match=r"x\.zarr: cannot be written \(No space left on device\)$"):
        import_demos(source, tmp_path / "x.zarr")
    assert left(tmp_path) == ["demos.lengths"]


def unchecked(cls, **fields):
    """A record as a program of others makes it, where nobody looks at types."""
    made = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def handed(attrs, *episodes, lost=()):
    return unchecked(Recording, attrs=attrs, episodes=episodes, lost=lost, num_episodes=None, names=(), videos={})


BARE = {"obs": {"state": np.zeros((3, 2))}, "actions": np.zeros((3, 2))}


@pytest.mark.parametrize(
    ("returned", "line"),
    [
        (None, r"format mine: its reader returned None; expected a Recording\(StoreAttrs"),
        ([], "format mine: its reader returned a list; expected a Recording"),
        (handed(None), "its reader returned one whose attrs are None"),
        (handed(StoreAttrs(), BARE), r"format mine: episode 0 is a dict; expected an Episode\(obs, act"),
        (
            handed(StoreAttrs(), unchecked(Episode, obs=np.zeros((3, 2)), actions=np.zeros((3, 2)), attrs={})),
            "whose obs and attrs are dicts",
        ),
        (
            handed(StoreAttrs(), unchecked(Episode, obs={"state": [[0.0]]}, actions=np.zeros((1, 2)), attrs={})),
            "episode 0: data/state is list; exp",
        ),
        (
            handed(
                StoreAttrs(), unchecked(Episode, obs={"state": np.zeros((3, 2))}, actions=np.zeros((2, 2)), attrs={})
            ),
            r"x\.zarr: episode 0: data",
        ),
    ],
)
def test_what_a_reader_of_ones_own_hands_over_is_looked_at(tmp_path, source, monkeypatch, returned, line):
    monkeypatch.setitem(FORMATS, "mine", Format("", lambda source, options: returned))
    with pytest.raises(UserError, match=line):
        import_demos(source, tmp_path / "x.zarr", "mine")
    assert left(tmp_path) == ["demos.lengths"]


def test_one_sentence_is_lost_as_one(tmp_path, source, monkeypatch):
    recording = handed(StoreAttrs(), episode(3), lost="forces are not kept")
    monkeypatch.setitem(FORMATS, "mine", Format("", lambda source, options: recording))
    assert import_demos(source, tmp_path / "x.zarr", "mine").lost == ("forces are not kept",)


def test_the_same_store_however_it_is_cut_into_batches(tmp_path, lengths, source, monkeypatch):
    calls = []
    import_demos(source, tmp_path / "one.zarr", show=lambda done, total: calls.append((done, total)))
    monkeypatch.setattr(transfer, "BATCH_BYTES", 1)
    import_demos(source, tmp_path / "many.zarr", show=lambda done, total: calls.append((done, total)))
    assert calls == [(4, None), (1, None), (2, None), (3, None), (4, None)]
    one, many = (DemoStore.open(tmp_path / name) for name in ("one.zarr", "many.zarr"))
    assert one.content_hash() == many.content_hash()


def test_what_is_there_stays(tmp_path, lengths, source):
    (tmp_path / "y.lengths").write_text("mine")
    import_demos(source, tmp_path / "x.zarr")
    before = DemoStore.open(tmp_path / "x.zarr").content_hash()
    with pytest.raises(UserError, match="exists already; choose another path"):
        import_demos(source, tmp_path / "x.zarr")
    with pytest.raises(UserError, match="exists already; choose another path"):
        export_demos(tmp_path / "x.zarr", tmp_path / "y.lengths", "lengths")
    assert (tmp_path / "y.lengths").read_text() == "mine"
    assert DemoStore.open(tmp_path / "x.zarr").content_hash() == before


def test_the_current_folder_is_no_name(tmp_path, lengths, source, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match=r"^\.: is the folder that you are in"):
        import_demos(source, ".")


def test_a_killed_import_is_begun_again(tmp_path, lengths, source):
    leftover = tmp_path / "x.zarr.part" / "store" / "data"
    leftover.mkdir(parents=True)
    (leftover / "half").touch()
    assert import_demos(source, tmp_path / "x.zarr").num_episodes == 4
    assert left(tmp_path) == ["demos.lengths", "x.zarr"]


def test_two_at_once_are_refused(tmp_path, lengths, source):
    with hold(tmp_path / "x.zarr.part"), pytest.raises(UserError, match="is being written by"):
        import_demos(source, tmp_path / "x.zarr")


def test_what_is_missing_is_named(tmp_path, lengths, source, monkeypatch):
    with pytest.raises(UserError, match="absent: no such file"):
        import_demos(tmp_path / "absent", tmp_path / "x.zarr", "lengths")
    source.write_text("")
    with pytest.raises(UserError, match="there are no episodes in it"):
        import_demos(source, tmp_path / "x.zarr")
    monkeypatch.setitem(FORMATS, "far", Format("far", read_lengths, packages=("json", "no_such_package")))
    with pytest.raises(UserError, match=r"format far needs no_such_package, .*pip install 'robolearn\[formats\]'"):
        import_demos(source, tmp_path / "x.zarr", "far")
    with pytest.raises(UserError, match=r"there is no format 'auto'; choose from (?!.*(npz|d4rl|adroit)).*lengths"):
        export_demos(tmp_path / "x.zarr", tmp_path / "y", "auto")
    with pytest.raises(UserError, match=r"format far cannot be exported to; choose from .*lengths"):
        export_demos(tmp_path / "x.zarr", tmp_path / "y", "far")
    assert left(tmp_path) == ["demos.lengths"]


def test_a_path_of_no_format_or_of_two(tmp_path, lengths, source, monkeypatch):
    assert recognize(source) == "lengths"
    (tmp_path / "x.unknown").touch()
    with pytest.raises(UserError, match=r"of no format that is recognized; name the format, one of .*lengths"):
        recognize(tmp_path / "x.unknown")
    with monkeypatch.context() as patched:
        patched.setitem(FORMATS, "far", Format("far", read_lengths, packages=("json", "no_such_package")))
        with pytest.raises(
            UserError, match=r"that is recognized without no_such_package, not installed here \(pip inst"
        ):
            recognize(tmp_path / "x.unknown")
    monkeypatch.setitem(FORMATS, "twin", FORMATS["lengths"])
    with pytest.raises(UserError, match="could be lengths or twin; name the format"):
        recognize(source)


def test_the_commands_say_what_was_not_kept(tmp_path, lengths, source, capsys):
    main(["import", "auto", str(source), "--out", str(tmp_path / "x.zarr")])
    out = capsys.readouterr().out
    assert "4 episodes, 17 steps, from lengths" in out
    assert "not kept: colors" in out
    main(["export", "lengths", str(tmp_path / "x.zarr"), "--out", str(tmp_path / "y")])
    assert "not kept: numbers" in capsys.readouterr().out


def test_a_damaged_key_is_named_where_the_rest_is_exported(tmp_path, rich_store):
    shutil.copytree(rich_store, tmp_path / "damaged.zarr")
    (tmp_path / "damaged.zarr" / "data" / "reward" / "zarr.json").write_text("{")
    done = export_demos(tmp_path / "damaged.zarr", tmp_path / "out", "robomimic")
    assert any("reward" in sentence and "damaged" in sentence for sentence in done.lost)
