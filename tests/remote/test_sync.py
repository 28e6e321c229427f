"""A copy and its original are the same, or a reader finds what was there before, and nobody's work is written over."""

import shutil
import subprocess
import sys

import pytest

from robolearn.locks import hold
from robolearn.paths import copies_dir, place_of
from robolearn.remote import sync
from robolearn.remote.storage import RemoteError
from robolearn.remote.sync import fetched, kept_same, send

URL = "bucket://b/runs/x"


def save(run, step, *, size=10):
    """As a run does: a checkpoint, the link to it, and the one before is dropped."""
    folder = run / "checkpoints" / f"{step:08d}"
    folder.mkdir(parents=True)
    (folder / "policy.safetensors").write_bytes(b"%d" % step * size)
    (folder / "policy.json").write_text(f'{{"step": {step}}}')
    link = run / "checkpoints" / "last"
    before = link.resolve() if link.is_symlink() else None
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    with (run / "metrics.jsonl").open("a") as file:
        file.write(f"{step}\n")
    if before is not None:
        shutil.rmtree(before)


def files(folder):
    """Content of everything in a folder, and where links lead."""
    paths = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in paths
        if path.name != ".lock"
    }


@pytest.fixture
def run(bucket, on_machine):
    """A run with a checkpoint, here and there."""
    directory = place_of(URL)
    with hold(directory):
        save(directory, 1)
    return directory


def test_another_machine_finds_what_was_sent(run, on_machine):
    sent = files(run)
    on_machine("there")
    assert fetched(URL) != run
    assert files(fetched(URL)) == sent
    assert sent["checkpoints/last"] == "00000001"


def test_what_a_writer_removed_is_removed_there(run, bucket):
    with hold(run):
        save(run, 2)
    assert not [name for name in bucket.store if "00000001" in name]


@pytest.mark.parametrize("error", [ConnectionError("unplugged"), KeyboardInterrupt()])
def test_an_upload_that_is_cut_anywhere_leaves_the_checkpoint_before_readable(run, bucket, on_machine, error):
    """However many files arrived, and with half of the next one; the next upload ends it, and none takes it for
    another machine's.
    """
    bucket.error, cuts = error, 0
    for left in range(10):
        step, before = left + 2, left + 1
        on_machine("here")
        save(run, step)
        bucket.left = left
        try:
            send(run)
        except (RemoteError, KeyboardInterrupt):
            cuts += 1
            bucket.left = None
            on_machine(f"reader {left}")
            reader = fetched(URL)
            is_new = left >= 4  # weights, metrics, json and link: the link itself arrived half or whole
            assert is_new or files(reader)["checkpoints/last"] == f"{before:08d}"
            assert (reader / "checkpoints/last/policy.safetensors").read_bytes() == b"%d" % before * 10
            on_machine("here")
            send(run)
        bucket.left = None
        on_machine(f"after {left}")
        assert files(fetched(URL)) == files(run)
    assert cuts == 4  # weights, metrics, what describes the weights, the link


def test_what_could_not_be_sent_is_kept_and_sent_with_the_next_use(run, bucket, on_machine):
    save(run, 2)
    bucket.left = 0
    with pytest.raises(RemoteError, match="unplugged") as refused:
        send(run)
    assert str(run) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    bucket.left = None
    assert files(fetched(URL))["checkpoints/last"] == "00000002"
    on_machine("there")
    assert files(fetched(URL)) == files(run)


def test_of_two_machines_that_write_the_second_is_told_and_writes_over_nothing(run, bucket, on_machine):
    on_machine("there")
    other = fetched(URL)
    save(other, 3)
    send(other)
    on_machine("here")
    save(run, 2)
    mine, theirs = files(run), {name: file.getvalue() for name, file in bucket.store.items()}
    with pytest.raises(RemoteError, match="by another machine"):
        send(run)
    assert files(run) == mine
    assert {name: file.getvalue() for name, file in bucket.store.items()} == theirs


@pytest.mark.parametrize("goes_on", [False, True])
def test_who_was_killed_when_all_was_sent_writes_over_nothing(run, bucket, on_machine, monkeypatch, goes_on):
    """Before it was noted; another machine may have gone on from there, as where machines are taken away."""
    save(run, 2)
    with monkeypatch.context() as patch:
        patch.setattr(sync._Copy, "_check_sent", lambda copy, names: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            send(run)
    if not goes_on:
        assert fetched(URL) == run
        on_machine("there")
        save(fetched(URL), 3)
        send(place_of(URL))
        on_machine("here")
        assert files(fetched(URL))["checkpoints/last"] == "00000003"
        return
    on_machine("there")
    save(fetched(URL), 3)
    send(place_of(URL))
    there = {name: file.getvalue() for name, file in bucket.store.items()}
    on_machine("here")
    with pytest.raises(RemoteError, match="by another machine"):
        fetched(URL)
    assert {name: file.getvalue() for name, file in bucket.store.items()} == there


def test_two_machines_may_write_different_things(run, on_machine):
    on_machine("there")
    with hold(fetched(URL) / "gate"):
        (place_of(URL) / "gate" / "calibration.json").write_text("there")
    on_machine("here")
    with hold(run / "eval"):
        (run / "eval" / "summary.json").write_text("here")
    fetched(URL)
    on_machine("third")
    assert {"gate/calibration.json", "eval/summary.json"} < set(files(fetched(URL)))


def test_who_clears_a_cache_removes_nothing_there(run, bucket):
    there = set(bucket.store)
    shutil.rmtree(run / "checkpoints")
    fetched(URL)
    assert (run / "checkpoints/last/policy.json").exists()
    shutil.rmtree(run)
    with hold(run):
        assert (run / "checkpoints/last/policy.json").exists()
    assert set(bucket.store) == there


def test_what_another_machine_removed_goes_here_too(run, on_machine):
    on_machine("there")
    with hold(place_of(URL)):
        save(place_of(URL), 2)
    on_machine("here")
    assert sorted(path.name for path in (fetched(URL) / "checkpoints").iterdir()) == ["00000002", "last"]


@pytest.mark.parametrize("removes", [False, True])
def test_a_fetch_that_a_writer_overtakes_begins_again(run, bucket, on_machine, removes):
    """When one file has been read: nothing of before is kept beside what is new, and what is gone is no error."""
    (run / "a.txt").write_text("before")
    (run / "b.txt").write_text("before")
    send(run)

    def overtake(path):
        if not path.endswith("b.txt"):
            return
        bucket.before_get = None
        on_machine("here")
        for name in ("a.txt", "b.txt"):
            (run / name).write_text("after that")
        if removes:
            save(run, 2)
        send(run)
        on_machine("there")

    on_machine("there")
    bucket.before_get = overtake
    assert files(fetched(URL)) == files(run)
    assert bucket.before_get is None


def test_a_fetch_that_was_killed_is_done_again(run, on_machine, monkeypatch):
    """Half of it in place: what is there is not sent back."""
    on_machine("there")
    reader = fetched(URL)
    on_machine("here")
    (run / "config.json").write_text("new")
    (run / "metrics.jsonl").write_text("new")
    send(run)
    on_machine("there")
    placed, put = [], sync._Copy._put

    def killed(copy, name, file):
        if placed:
            raise KeyboardInterrupt
        placed.append(name)
        put(copy, name, file)

    with monkeypatch.context() as patch:
        patch.setattr(sync._Copy, "_put", killed)
        with pytest.raises(KeyboardInterrupt):
            fetched(URL)
    assert files(fetched(URL)) == files(run)
    assert files(reader) == files(run)


def test_who_reads_leaves_a_copy_alone_that_is_being_written(run, on_machine, bucket):
    with hold(run):
        save(run, 2)
        assert fetched(URL) == run
        assert not any("00000002" in name for name in bucket.store)
        with hold(run / "eval"):
            (run / "eval" / "half.json").write_text("{}")
            send(run)
            assert not any("half.json" in name for name in bucket.store)
        assert any("half.json" in name for name in bucket.store)


def test_unfinished_files_are_not_sent(run, bucket):
    (run / "checkpoints/.00000009.part").mkdir()
    (run / "checkpoints/.00000009.part/policy.json").write_text("half")
    (run / "config.json.part").write_text("half")
    (run / ".new").mkdir()
    (run / ".new/config.json").write_text("half")
    (run / "away").symlink_to("/etc")
    before = set(bucket.store)
    send(run)
    assert set(bucket.store) == before


def test_an_error_in_the_block_sends_what_there_is_and_stays_that_error(run, bucket, capsys):
    def fail(name):
        with kept_same(run):
            (run / name).write_text("1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail("new")
    assert "/b/runs/x/new" in bucket.store
    bucket.left = 0
    with pytest.raises(ZeroDivisionError):
        fail("newer")
    assert "unplugged" in capsys.readouterr().err


def test_a_file_that_did_not_arrive_whole_is_noticed(run, bucket, monkeypatch):
    monkeypatch.setattr(bucket, "put_file", lambda self, lpath, rpath, **_: self.pipe_file(rpath, b"1"))
    (run / "weights").write_bytes(b"12345")
    with pytest.raises(RemoteError, match="weights did not arrive whole"):
        send(run)


def test_a_single_file_has_a_copy_too(bucket, on_machine):
    bucket().pipe_file("/b/weights.safetensors", b"123")
    file = fetched("bucket://b/weights.safetensors")
    assert file.read_bytes() == b"123"
    file.write_bytes(b"4567")
    fetched("bucket://b/weights.safetensors")
    assert bucket.store["/b/weights.safetensors"].getvalue() == b"4567"


def test_a_neighbor_whose_name_goes_on_is_no_part_of_it(run, bucket, on_machine, monkeypatch):
    bucket().pipe_file("/b/runs/x2/config.json", b"{}")
    listed = {
        name: {"name": name, "size": file.size, "created": file.created.timestamp()}
        for name, file in bucket.store.items()
    }
    monkeypatch.setattr(bucket, "find", lambda self, path, **_: listed)  # by prefix, as object stores do
    on_machine("there")
    assert files(fetched(URL)) == files(run)


def test_names_that_would_be_patterns_are_names(bucket, on_machine):
    """fsspec's own way to move a file takes [1] for a pattern, and says that nothing fits it."""
    url = "bucket://b/runs/x[1]*"
    with hold(place_of(url)):
        save(place_of(url), 1)
        (place_of(url) / "key?[0].json").write_text("{}")
    sent = files(place_of(url))
    on_machine("there")
    assert files(fetched(url)) == sent
    assert not [name for name in bucket.store if name.endswith(".part")]


def test_a_file_system_that_tells_no_sizes(run, bucket, on_machine, monkeypatch):
    listed = bucket.find

    def find(self, path, **options):
        return {name: {**info, "size": None} for name, info in listed(self, path, **options).items()}

    monkeypatch.setattr(bucket, "find", find)
    on_machine("there")
    assert files(fetched(URL)) == files(run)
    monkeypatch.setattr(bucket, "info", lambda self, path: {"name": path, "size": None, "type": "file"})
    on_machine("elsewhere")
    with hold(place_of(URL)):
        save(place_of(URL), 2)
    on_machine("anywhere")
    assert files(fetched(URL))["checkpoints/last"] == "00000002"


def test_a_folder_of_the_file_system_here(tmp_path, on_machine):
    url = f"file://{tmp_path}/shared/x"
    with hold(place_of(url)):
        save(place_of(url), 1)
    on_machine("there")
    (tmp_path / "one.json").write_text("{}")
    assert files(fetched(url))["checkpoints/last"] == "00000001"
    assert fetched(f"file://{tmp_path}/one.json").read_text() == "{}"
    assert not files(fetched(f"file://{tmp_path}/nothing"))


@pytest.mark.parametrize("target", [b"../../outside", b"/etc", b"..", b""])
def test_a_strangers_link_leads_nowhere_else(run, bucket, on_machine, target):
    bucket().pipe_file("/b/runs/x/evil.link", target)
    on_machine("there")
    with pytest.raises(RemoteError, match="not beside it"):
        fetched(URL)


def test_a_strangers_name_leads_nowhere_else(run, bucket, on_machine):
    bucket.store["/b/runs/x/../../../evil"] = bucket.store["/b/runs/x/metrics.jsonl"]
    on_machine("there")
    with pytest.raises(RemoteError, match="leads out of it"):
        fetched(URL)
    assert not list(copies_dir().rglob("evil"))


def test_more_than_the_disk_holds_is_said_before_it_is_fetched(run, on_machine, monkeypatch):
    on_machine("there")
    monkeypatch.setattr(sync, "size_of", lambda stamp: 1 << 60)
    with pytest.raises(RemoteError, match="are to be fetched"):
        fetched(URL)
    assert not place_of(URL).exists()


def test_an_unknown_protocol_a_missing_package_and_a_missing_fsspec_are_one_line_each(on_machine, monkeypatch):
    with pytest.raises(RemoteError, match=r"^nope://b/x: Protocol not known: nope; choose s3, gs"):
        fetched("nope://b/x")
    for module in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RemoteError, match="a package for s3:// is not installed; pip install 's3fs'"):
        fetched("s3://b/x")
    with pytest.raises(RemoteError, match="pip install 'gcsfs'"):
        fetched("gs://b/x")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(RemoteError, match=r"pip install 'robolearn\[remote\]'"):
        fetched("memory://b/x")


def test_a_path_here_needs_no_fsspec(tmp_path):
    code = "import sys; from robolearn.remote.sync import fetched; fetched('here'); print('fsspec' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert out.stdout.strip() == "False", out.stderr
