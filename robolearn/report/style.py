"""How every plot looks: quiet axes, no frame."""

from __future__ import annotations

from typing import Any


def axes_style(ink: str, muted: str, rule: str) -> dict[str, Any]:
    """Settings of matplotlib for text in ``ink``, numbers in ``muted`` and lines in ``rule``."""
    return {
        "text.color": ink,
        "axes.edgecolor": rule,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": rule,
        "grid.linewidth": 0.6,
        "xtick.color": rule,
        "ytick.color": rule,
        "xtick.labelcolor": muted,
        "ytick.labelcolor": muted,
        "legend.frameon": False,
    }
