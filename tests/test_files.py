"""Files are replaced whole: a kill or an error at any moment leaves the old or the new ones."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from robolearn.errors import one_line
from robolearn.files import check_writable, finish_replacing, naming, remove, replacing, replacing_all
from robolearn.nets.weights import save_tensors

NAMES = ("a", "b", "c")


def contents(directory):
    return {path.name: path.read_text() for path in directory.iterdir() if path.is_file()}


def write_new(folder):
    for name in ("a", "b"):
        (folder / name).write_text(f"new {name}")


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "gate"
    path.mkdir()
    for name in (*NAMES, "notes"):
        (path / name).write_text(f"old {name}")
    return path


OLD = {"a": "old a", "b": "old b", "c": "old c", "notes": "old notes"}
NEW = {"a": "new a", "b": "new b", "notes": "old notes"}


def test_several_files_are_replaced_and_others_stay(directory):
    with replacing_all(directory, NAMES) as folder:
        write_new(folder)
        assert contents(directory) == OLD
    assert contents(directory) == NEW
    assert not [path for path in directory.iterdir() if path.is_dir()]


def test_an_error_leaves_the_old_files(directory):
    def fail():
        with replacing_all(directory, NAMES) as folder:
            write_new(folder)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert contents(directory) == OLD
    assert not [path for path in directory.iterdir() if path.is_dir()]


def test_what_a_full_disk_refuses_is_named(directory, monkeypatch):
    """The system names the file that it cannot open, and none that it cannot write."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def replace_one():
        with replacing(directory / "a"):
            refuse()

    def replace_several():
        with replacing_all(directory, NAMES) as folder:
            (folder / "b").write_text("b")
            (folder / "there" / "is none").write_text("c")

    with pytest.raises(OSError, match="No space") as one:
        replace_one()
    assert one_line(one.value) == f"{directory / 'a'}: No space left on device"
    with pytest.raises(FileNotFoundError) as several:
        replace_several()
    assert one_line(several.value) == f"{directory}: No such file or directory"  # what was begun is gone
    with pytest.raises(FileNotFoundError) as other, naming(directory):
        (directory / "x" / "y").read_text()
    assert one_line(other.value) == f"{directory / 'x' / 'y'}: No such file or directory"
    with pytest.raises(OSError, match="no encoder") as text, naming(directory):
        raise OSError("no encoder is left")  # of a library, without a number
    assert one_line(text.value) == "no encoder is left"
    assert contents(directory) == OLD


def test_whether_a_file_can_be_written_is_known_beforehand(directory):
    check_writable(directory / "a")
    check_writable(directory / "new" / "a")
    assert contents(directory) == OLD
    assert not [*(directory / "new").iterdir()]
    for path in (directory, directory / "a" / "b"):
        with pytest.raises(OSError, match="a"):
            check_writable(path)


def test_a_full_disk_is_known_beforehand(directory, monkeypatch):
    """It takes files, but nothing into them."""
    (directory / "a.part").symlink_to(directory / "b")  # and what a link points to is nobody's to write into
    check_writable(directory / "a")

    def refuse(path, _):
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="No space") as error:
        check_writable(directory / "a")
    assert one_line(error.value) == f"{directory / 'a'}: No space left on device"
    assert contents(directory) == OLD


def test_weights_on_a_full_disk_name_what_they_are_of(directory, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def replace_several():
        with replacing_all(directory, NAMES) as folder:
            save_tensors({}, folder / "b")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="No space") as error:
        replace_several()
    assert one_line(error.value) == f"{directory}: No space left on device"
    assert contents(directory) == OLD


def test_a_kill_at_any_file_operation_leaves_old_or_new(tmp_path, directory, monkeypatch):
    """A copy before each operation that changes a file or folder is what a kill there would leave."""
    copies = []

    def watched(name):
        original = getattr(Path, name)

        def call(self, *arguments, **kwargs):
            copies.append(tmp_path / str(len(copies)))
            shutil.copytree(directory, copies[-1])
            return original(self, *arguments, **kwargs)

        monkeypatch.setattr(Path, name, call)

    with monkeypatch.context():
        for name in ("mkdir", "write_text", "touch", "rename", "replace", "unlink", "rmdir"):
            watched(name)
        with replacing_all(directory, NAMES) as folder:
            write_new(folder)
    monkeypatch.undo()
    seen = []
    for copy in copies:
        finish_replacing(copy)
        assert contents(copy) in (OLD, NEW)
        seen.append(contents(copy) == NEW)
        with replacing_all(copy, NAMES) as folder:  # and the next calibration finds nothing in its way
            write_new(folder)
        assert contents(copy) == NEW
    assert seen == sorted(seen)
    assert {False, True} == set(seen)
    assert len(copies) > 10


def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "x.json.part").symlink_to(tmp_path / "precious")
    with replacing(tmp_path / "x.json") as part:
        part.write_text("new")
    assert contents(tmp_path) == {"precious": "kept", "x.json": "new"}


def test_a_folder_in_the_place_of_the_part_is_named(tmp_path):
    (tmp_path / "x.json.part").mkdir()
    with pytest.raises(OSError, match=r"x\.json\.part"), replacing(tmp_path / "x.json") as part:
        part.write_text("new")
    assert (tmp_path / "x.json.part").is_dir()


def test_a_device_is_not_replaced(tmp_path):
    """A rename would do away with /dev/null, for one."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name in ("fifo", "link"):
        with (
            pytest.raises(OSError, match="is a device, expected the name of a file"),
            replacing(tmp_path / name) as part,
        ):
            part.write_text("new")
    with pytest.raises(IsADirectoryError, match="is a directory"), replacing(tmp_path) as part:
        part.write_text("new")
    assert (tmp_path / "fifo").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "link"]


def test_remove_takes_a_link_not_its_target(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis").touch()
    os.symlink(tmp_path / "precious", tmp_path / "link")
    remove(tmp_path / "link")
    remove(tmp_path / "absent")
    assert (tmp_path / "precious" / "thesis").exists()
    remove(tmp_path / "precious")
    assert list(tmp_path.iterdir()) == []
