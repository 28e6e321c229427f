"""A sheet of panels, drawn into a PNG file: what the plots of the measurements share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from robolearn.files import replacing
from robolearn.report.style import axes_style

INK, MUTED, RULE = "#1d2127", "#5c6470", "#dde1e6"
STYLE: Any = {**axes_style(INK, MUTED, RULE), "font.size": 9, "axes.titlesize": 9, "axes.titlelocation": "left"}


@contextmanager
def sheet(path: Path, width: float, height: float, *, rows: int = 1, columns: int = 1) -> Iterator[Any]:
    """Panels [rows, columns] to draw on, which are written to ``path`` in the end.

    Args:
        path: The PNG file.
        width: Of the whole [inches].
        height: Of the whole [inches].
        rows: Of panels.
        columns: Of panels.
    """
    with mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=(width, height), layout="constrained", dpi=130)
        yield figure.subplots(rows, columns, squeeze=False)
        with replacing(path) as file:
            figure.savefig(file, format="png")
