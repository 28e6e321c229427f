"""Where numbers go while training: always metrics.jsonl, and Weights & Biases if it works.

Weights & Biases runs behind a queue in a thread of its own, so that it can neither stop nor slow a run: when it
fails, or cannot keep up, there is one warning and the run goes on.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import math
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robolearn.files import naming, replacing

logger = logging.getLogger("robolearn")

QUEUE_SIZE = 1_000
FINISH_SECONDS = 20.0


class MetricsFile:
    """metrics.jsonl: one JSON object per line, flushed at once.

    Args:
        path: Appended to.
        step: Records beyond this step are dropped first: they are of the part that a resumed run repeats.
    """

    def __init__(self, path: Path, step: int):
        kept = [line for line in _whole_lines(path) if (record := _record(line)) is None or record["step"] <= step]
        with replacing(path) as part:
            part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self.path, self.file = path, path.open("a", encoding="utf-8")

    def log(self, record: dict[str, Any]) -> None:
        """Write one record."""
        with naming(self.path):
            self.file.write(json.dumps(record) + "\n")
            self.file.flush()

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # a record that a full disk refused was reported when it was written
            self.file.close()


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a metrics.jsonl that may be missing, cut by a kill, or hold what others wrote between them."""
    return (record for line in _whole_lines(path) if (record := _record(line)) is not None)


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole_lines(path: Path) -> list[str]:
    text = path.read_text("utf-8", errors="replace") if path.exists() else ""
    return text[: text.rfind("\n") + 1].split("\n")[:-1]


def _record(line: str) -> dict[str, Any] | None:
    """A line as a record, that is an object with a step; None for anything else."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and is_number(record.get("step")) else None


def is_disabled() -> bool:
    """Whether the user told Weights & Biases to do nothing: importing it alone takes a second of CPU time."""
    return os.environ.get("WANDB_MODE") == "disabled"


class WandbLogger:
    """Weights & Biases in a thread: online when the user is logged in, otherwise offline.

    Args:
        directory: Where its files go.
        project: Project name.
        name: Run name.
        config: Shown beside the run.
        run_id: Of the run to go on with, or to begin; by default a new one each time.
    """

    def __init__(self, directory: Path, *, project: str, name: str, config: dict[str, Any], run_id: str | None = None):
        self.settings: dict[str, Any] = {"dir": str(directory), "project": project, "name": name, "config": config}
        if run_id is not None:
            self.settings |= {"id": run_id, "resume": "allow"}
        self.records: queue.Queue[dict[str, Any] | None] = queue.Queue(QUEUE_SIZE)
        self.thread = threading.Thread(target=self._work, daemon=True, name="wandb")
        self.thread.start()

    def log(self, record: dict[str, Any], *, video: Path | None = None) -> None:
        """Hand one record over; never waits."""
        try:
            self.records.put_nowait({**record, **({"rollout/video": video} if video else {})})
        except queue.Full:
            logger.debug("Weights & Biases lags behind: a record was left out")

    def close(self) -> None:
        """Wait a moment for it to finish."""
        with contextlib.suppress(queue.Full):
            self.records.put(None, timeout=1)
        self.thread.join(FINISH_SECONDS)
        if self.thread.is_alive():
            logger.warning("Weights & Biases did not finish in %.0f s and was left behind", FINISH_SECONDS)

    def _work(self) -> None:
        try:
            import wandb  # slow to import, and its failure must not reach the run

            # Silent: the run's own terminal output says where the results are.
            os.environ.setdefault("WANDB_SILENT", "true")
            mode: Any = os.environ.get("WANDB_MODE") or ("online" if _has_credentials(wandb) else "offline")
            if mode == "offline" and "WANDB_MODE" not in os.environ:
                logger.warning("Weights & Biases: not logged in, so nothing is sent; `wandb login` changes that")
            run = wandb.init(mode=mode, **self.settings)
            while (record := self.records.get()) is not None:
                step = record.pop("step")
                record = {k: wandb.Video(str(v), format="mp4") if isinstance(v, Path) else v for k, v in record.items()}
                run.log(record, step=step)
            run.finish()
        except Exception as error:  # whatever it raises, the run goes on without it
            logger.warning("Weights & Biases failed and is left out (%s); metrics.jsonl has everything", error)
            while self.records.get() is not None:
                pass


def _has_credentials(wandb: Any) -> bool:
    """Whether somebody is logged in; nobody is asked to, which `wandb.login` of before 0.31 always does."""
    if "prompt" in inspect.signature(wandb.login).parameters:
        return wandb.login(prompt=False, verify=False)
    return wandb.api.api_key is not None  # deprecated where the other way is there
