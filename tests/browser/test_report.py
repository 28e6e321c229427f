"""The report of an evaluation in a browser: no errors, nothing from the network, videos play, nothing is too wide."""

import dataclasses

import numpy as np
import pytest

from robolearn.report.page import write_report
from robolearn.rollout.video import write_mp4
from tests.browser.chromium import BROKEN_IMAGES, TOO_WIDE
from tests.report import synthetic
from tests.report.test_page import report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The address of a page with all that a page can have."""
    folder = tmp_path_factory.mktemp("report")
    videos = []
    for i, success in enumerate((True, False)):
        write_mp4(folder / f"{i}.mp4", np.full((20, 96, 128, 3), 40 * i, np.uint8), fps=20.0)
        videos.append((f"episode {i}, seed {i}", success, folder / f"{i}.mp4"))
    curve = [{"step": step, "loss": 1 / step, "validation_loss": 2 / step} for step in range(1, 9)]
    long = "python eval.py runs/flow-mlp " + "--env.kwargs moved 0.06 " * 9
    facts = {"dataset": "avoid.zarr, sha256 " + 64 * "0", "checkpoint": "/a/very/long/path/" + 9 * "without-a-space/"}
    full = report(synthetic.avoid(40), 24, videos=videos, training_curve=curve, command=long, facts=facts)
    write_report(folder / "report.html", dataclasses.replace(full, run="a-name-" * 12))
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("width", [420, 1200])
def test_the_page_loads_and_fits(page, browser, width):
    browser.visit(page, width)
    assert browser.complaints == []
    assert [url for url in browser.requested if not url.startswith((page, "data:"))] == []
    assert browser.evaluate(BROKEN_IMAGES) == []
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate("[...document.links].filter(x => x.hash && !document.querySelector(x.hash)).length") == 0


def test_videos_play(page, browser):
    browser.visit(page)
    played = browser.evaluate(
        "Promise.all([...document.querySelectorAll('video')].map(video => new Promise((done, fail) => {"
        " video.muted = true;"
        " video.addEventListener('timeupdate', () => video.currentTime > 0.3 && done(video.videoWidth));"
        " video.play().catch(fail); })))"
    )
    assert played == [128, 128]


def test_a_page_that_is_too_wide_is_noticed(tmp_path, browser):
    """And so is an image that is not there: the checks above can fail."""
    (tmp_path / "wide.html").write_text(
        "<div style='width: 500px'>wide</div><img src='nowhere.png'><script>x()</script>"
    )
    browser.visit((tmp_path / "wide.html").as_uri(), 420)
    assert len(browser.evaluate(TOO_WIDE)) == 1
    assert len(browser.evaluate(BROKEN_IMAGES)) == 1
    assert any("x is not defined" in complaint for complaint in browser.complaints)
    assert any("ERR_FILE_NOT_FOUND" in complaint for complaint in browser.complaints)
