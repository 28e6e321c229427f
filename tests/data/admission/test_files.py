"""Stores from strangers: nothing outside is read, nothing is waited for, and zips are what they seem."""

import os
import shutil
import zipfile

import pytest

from robolearn.data.store import DemoStore
from tests.data.admission.stores import inspected, train_on


def test_links_that_lead_out(v2, tmp_path, capsys):
    secret = tmp_path / "secret"
    shutil.copytree(v2 / "data" / "state", secret)
    for member, target in (("data/state", secret), ("data/state/0.0", secret / "0.0"), ("data/state/.zarray", secret)):
        kept = tmp_path / "kept"
        shutil.copytree(v2, kept)
        shutil.rmtree(kept / member) if (kept / member).is_dir() else (kept / member).unlink()
        (kept / member).symlink_to(target if target.exists() else secret)
        with pytest.raises(ValueError, match=r"link out of the store|no key"):
            train_on(kept)
        inspected(kept, capsys)
        shutil.rmtree(kept)
    (tmp_path / "link.zarr").symlink_to(v2)  # the store itself may be one
    train_on(tmp_path / "link.zarr")
    (v2 / "data" / "state" / "0.0").rename(v2 / "data" / "state" / "elsewhere")
    (v2 / "data" / "state" / "0.0").symlink_to("elsewhere")  # and so may what stays inside
    train_on(v2)


def test_a_pipe_is_not_waited_for(v2):
    (v2 / "data" / "state" / "0.0").unlink()
    os.mkfifo(v2 / "data" / "state" / "0.0")
    with pytest.raises(ValueError, match=r"data/state/0\.0 is no plain file"):
        train_on(v2)


def zipped(path, change=lambda info, content: [(info, content)]):
    """A zip of a store, each entry as `change` has it."""
    target = path.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(f for f in path.rglob("*") if f.is_file()):
            for info, content in change(zipfile.ZipInfo(file.relative_to(path).as_posix()), file.read_bytes()):
                archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return target


@pytest.mark.parametrize("name", ["../out", "/abs", "data/../../x", "..\\out"])
def test_zip_entries_outside(v2, name):
    target = zipped(v2)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(ValueError, match="lies outside of the zip"):
        DemoStore.open(target)


def test_encrypted_and_cut_zips(v2, capsys):
    target = zipped(v2)
    content = bytearray(target.read_bytes())
    for head, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of every entry, in both of its places
        begin = content.find(head)
        while begin >= 0:
            content[begin + at] |= 1
            begin = content.find(head, begin + 4)
    target.write_bytes(content)
    assert inspected(target, capsys) == (2, f"error: {target}: the zip is encrypted\n")
    whole = zipped(v2).read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 5):
        target.write_bytes(whole[:cut])
        status, text = inspected(target, capsys)
        assert status == 2
        assert "neither a zarr directory nor a zip" in text


def test_zip_bombs(v2, capsys):
    """An entry that says it is large is not unpacked."""
    target = zipped(
        v2, lambda i, c: [(i, bytes(1 << 28) if i.filename in ("data/state/0.0", "data/other/.zarray") else c)]
    )
    with pytest.raises(ValueError, match=r"data/state/0\.0 has 268435456 bytes"):
        train_on(target)
    assert inspected(target, capsys)[0] == 1
