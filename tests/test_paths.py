"""A URL and the place of its copy here are two names of one thing."""

from pathlib import Path

import pytest

from robolearn.config import from_json, to_json
from robolearn.errors import UserError
from robolearn.paths import copies_dir, is_copy, is_url, place_of, url_of
from robolearn.training.config import DatasetConfig, TrainConfig


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/runs/x", "gs://b", "file:///data/x.zarr", "abfs://c@account.dfs.core.windows.net/x", "hdfs:///x"],
)
def test_a_url_comes_back_from_its_place(url):
    assert is_url(url)
    assert is_copy(place_of(url))
    assert url_of(place_of(url)) == url
    assert url_of(place_of(url) / "eval") == f"{url}/eval"


def test_slashes_that_a_shell_leaves_change_nothing():
    assert place_of("s3://b//runs/x/") == place_of("s3://b/runs/x")


@pytest.mark.parametrize("text", ["runs/x", "/runs/x", "C:/x", "a:b", "", "."])
def test_other_text_is_a_path_here(text):
    assert not is_url(text)
    assert place_of(text) == Path(text)
    assert url_of(Path(text)) == str(Path(text))


def test_a_url_that_was_made_a_path_is_refused():
    with pytest.raises(UserError, match="lost a slash; give it as text, s3://"):
        place_of(Path("s3://bucket/x"))


@pytest.mark.parametrize("url", ["s3://", "s3://b/../../etc", "s3://../x", "zip://a.zip::s3://b/x", "s3://b/x.part"])
def test_a_url_of_nothing_or_of_something_above_is_refused(url):
    with pytest.raises(UserError, match="expected the URL of a file or folder"):
        place_of(url)


def test_a_password_is_neither_kept_nor_shown():
    with pytest.raises(UserError, match="password") as refused:
        place_of("sftp://me:secret@host/x")
    assert "secret" not in str(refused.value)


def test_a_configuration_is_kept_with_urls_and_means_the_same_elsewhere(tmp_path, monkeypatch):
    def config():
        return TrainConfig(out="s3://b/x", dataset=DatasetConfig(("gs://b/a.zarr", "here.zarr")))

    kept = to_json(config(), {})
    assert kept["out"] == "s3://b/x"
    assert kept["dataset"]["path"] == ["gs://b/a.zarr", "here.zarr"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert from_json(DatasetConfig, kept["dataset"], {}) == config().dataset
    assert config().anchored().out == tmp_path / "robolearn/remote/s3/b/x" == copies_dir() / "s3/b/x"
