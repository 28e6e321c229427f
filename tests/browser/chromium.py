"""A headless Chromium, driven by its own debugging protocol over one websocket: what a reader's browser would say."""

import json
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

PROGRAM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--no-first-run"),
    *("--remote-debugging-port=0", "--autoplay-policy=no-user-gesture-required"),
)
# JavaScript that lists what is wrong with the page as it is shown.
BROKEN_IMAGES = "[...document.images].filter(x => !x.naturalWidth).map(x => x.src)"
TOO_WIDE = (
    "document.documentElement.scrollWidth <= innerWidth ? []"
    " : [`${document.documentElement.scrollWidth} px in a window of ${innerWidth}`]"
)
PATIENCE = 60  # [s] for an answer, after which a test fails instead of hanging


@contextmanager
def open_browser(profile: Path) -> Iterator["Browser"]:
    """A tab of a browser that keeps everything in the folder ``profile`` and ends with the block."""
    assert PROGRAM is not None
    command = [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = profile / "DevToolsActivePort"  # written when it listens: the port, and the path of the websocket
        for _ in range(10 * PATIENCE):
            if port.exists() and port.read_text().count("\n"):
                break
            time.sleep(0.1)
        number, path = port.read_text().split()
        with connect(f"ws://127.0.0.1:{number}{path}", max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


class Browser:
    """One tab. `complaints` are what the page that was visited last has logged as an error or failed to load."""

    def __init__(self, socket: ClientConnection):
        self._socket = socket
        self._asked, self._session = 0, None
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._loaded = False
        target = next(t for t in self.ask("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params) -> dict:
        """The answer to one command."""
        self._asked += 1
        session = {} if self._session is None else {"sessionId": self._session}
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": params, **session}))
        while True:
            message = self._receive()
            if message.get("id") == self._asked:
                assert "error" not in message, (method, message)
                return message["result"]

    def visit(self, url: str, width: int = 1200, height: int = 900) -> None:
        """Load a page in a window of this size [px], until everything on it is there."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.complaints, self.requested, self._loaded = [], [], False
        answer = self.ask("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        while not self._loaded:
            self._receive()
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")

    def evaluate(self, expression: str):
        """The value of a JavaScript expression, of a promise what it comes to."""
        answer = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path, height: int = 900) -> None:
        """What the window shows, and below it as far as ``height`` [px]."""
        clip = {"x": 0, "y": 0, "width": self.evaluate("innerWidth"), "height": height, "scale": 1}
        picture = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(b64decode(picture["data"]))

    def _receive(self) -> dict:
        message = json.loads(self._socket.recv(timeout=PATIENCE))
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.loadingFailed" if not params.get("canceled"):
                self.complaints.append(f"a request failed: {params['errorText']}")
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
            case "Network.responseReceived" if params["response"]["status"] >= 400:
                self.complaints.append(f"{params['response']['status']} {params['response']['url']}")
        return message
