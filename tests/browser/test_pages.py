"""The pages of a comparison and of an inspection in a browser: no errors, no requests, nothing is too wide."""

import numpy as np
import pytest

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.doctor.examine import examine
from robolearn.doctor.page import write_page as draw_store
from robolearn.report.comparison_page import write_page as draw_comparison
from robolearn.types import Episode
from tests.browser.chromium import BROKEN_IMAGES, TOO_WIDE
from tests.report.test_comparison_page import comparison

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Addresses of both, with long names and one dimension as well as many."""
    folder, rng = tmp_path_factory.mktemp("pages"), np.random.default_rng(0)
    draw_comparison(folder / "comparison.html", comparison(folder, run="a-name-without-a-space-" * 9))
    keys = ("state", "observation.a-key-with-a-long-name", "top")
    with DemoWriter.create(folder / "x.zarr", attrs=StoreAttrs(control_dt=0.1, obs_keys=keys)) as store:
        for length in (30, 40, 50):
            rows = np.cumsum(rng.normal(size=(length, 14)), axis=0).astype(np.float32)
            images = rng.integers(0, 256, (length, 24, 32, 3)).astype(np.uint8)
            obs = dict(zip(keys, (rows, rows[:, :2], images), strict=True)) | {"reward": rows[:, :1]}
            store.append(Episode(obs, rows[:, :3]))
    draw_store(folder / "doctor.html", examine(DemoStore.open(folder / "x.zarr")), "a-store-" * 12)
    return {name: (folder / f"{name}.html").as_uri() for name in ("comparison", "doctor")}


@pytest.mark.parametrize("width", [420, 1200])
@pytest.mark.parametrize("name", ["comparison", "doctor"])
def test_the_page_loads_and_fits(pages, browser, name, width):
    browser.visit(pages[name], width)
    browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.complaints == []
    assert [url for url in browser.requested if not url.startswith((pages[name], "data:"))] == []
    assert browser.evaluate(BROKEN_IMAGES) == []
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate("document.doctype !== null && document.compatMode") == "CSS1Compat"
    assert browser.evaluate("document.querySelectorAll('h2').length") >= 3
