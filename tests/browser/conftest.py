import pytest

from tests.browser.chromium import PROGRAM, open_browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One headless Chromium for all tests; they are skipped where there is none."""
    if PROGRAM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened
