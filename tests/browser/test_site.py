"""The built site in a browser: every page loads without an error, every link leads somewhere, nothing is too wide."""

import importlib.util
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from tests.browser.chromium import BROKEN_IMAGES, TOO_WIDE

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
NARROW, WIDE = 420, 1200  # [px]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that `make docs` would write, with warnings as errors."""
    if not all(map(importlib.util.find_spec, ("mkdocs", "material", "mkdocstrings"))):
        pytest.skip('the extra docs is not installed: pip install -e ".[docs]" -c constraints.txt')
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    env = {
        **os.environ,
        "NO_MKDOCS_2_WARNING": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def address(site):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Seen:
    """What a browser saw of one page."""

    complaints: list[str]
    requested: list[str]
    broken_images: list[str]
    too_wide: list[str]
    links: list[str]
    anchors: set[str]


@pytest.fixture(scope="module")
def seen(site, address, browser) -> dict[str, Seen]:
    """Every page of the site, in a narrow and in a wide window."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        pages[name] = page = Seen([], [], [], [], [], set())
        for width in (NARROW, WIDE):
            browser.visit(f"{address}/{name}", width)
            page.complaints += browser.complaints
            page.requested += browser.requested
            page.broken_images += browser.evaluate(BROKEN_IMAGES)
            page.too_wide += browser.evaluate(TOO_WIDE)
            page.links = browser.evaluate("[...document.links].map(x => x.href)")
            page.anchors = set(browser.evaluate("[...document.querySelectorAll('[id]')].map(x => x.id)"))
    return pages


def test_every_page_of_the_documentation_is_on_the_site(site, seen):
    written = {
        path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    assert written <= set(seen)
    assert len(written) > 30


def test_pages_load_without_an_error(seen):
    assert {name: page.complaints for name, page in seen.items() if page.complaints} == {}


def test_nothing_is_fetched_from_elsewhere(address, seen):
    requested = {url for page in seen.values() for url in page.requested}
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []


def test_images_are_there(seen):
    assert {name: page.broken_images for name, page in seen.items() if page.broken_images} == {}


def test_nothing_is_wider_than_the_window(seen):
    assert {name: page.too_wide for name, page in seen.items() if page.too_wide} == {}


def test_every_link_leads_somewhere(site, address, seen):
    """To a file of the site, and where it names a part of a page, to one that is there."""
    assert sum(len(page.links) for page in seen.values()) > 1000
    lost = []
    for name, page in seen.items():
        for link in (link for link in page.links if link.startswith(address)):
            url, anchor = urldefrag(link)
            target = unquote(url.removeprefix(address).lstrip("/")) or "index.html"
            if not (site / target).is_file() or (anchor and unquote(anchor) not in seen[target].anchors):
                lost.append((name, link))
    assert lost == []


def test_the_search_finds_a_page(address, browser):
    browser.visit(f"{address}/index.html")
    browser.evaluate("document.querySelector('[data-md-toggle=search]').click()")
    browser.evaluate(
        "(box => { box.focus(); box.value = 'certificate'; box.dispatchEvent(new Event('keyup', {bubbles: true}));"
        " box.dispatchEvent(new Event('input', {bubbles: true})); })(document.querySelector('.md-search__input'))"
    )
    hits = browser.evaluate(
        "new Promise(done => { let tries = 0; const look = () => { const n = document.querySelectorAll("
        "'.md-search-result__item').length; n || tries++ > 100 ? done(n) : setTimeout(look, 50); }; look(); })"
    )
    assert hits > 0
    assert browser.complaints == []
