"""One self-contained HTML page of an inspection, in the style of an evaluation's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from markupsafe import Markup

from robolearn.doctor import drawings
from robolearn.doctor.clusters import find_groups, map_windows
from robolearn.doctor.examine import Examination
from robolearn.errors import as_flags
from robolearn.files import replacing
from robolearn.report.page import TEMPLATES, Card, Plot


def write_page(path: Path, report: Examination, name: str) -> None:
    """Write the page; it appears complete or not at all.

    Args:
        path: Of the page.
        report: What it shows.
        name: Of what was inspected.
    """
    recording = report.recording
    cameras = {key: drawings.pictures(camera) for key, camera in recording.cameras.items()}
    html = TEMPLATES.get_template("doctor.html").render(
        name=name,
        verdict=_verdict(report),
        cards=_cards(report),
        findings=[(one.severity, one.check, as_flags(one.sentence), as_flags(one.mend)) for one in report.findings],
        plots=list(_plots(report)) if len(recording.ends) else [],
        cameras={key: shown for key, shown in cameras.items() if shown},
        columns=report.columns[:200],
    )
    with replacing(path) as part:
        part.write_text(html, encoding="utf-8")


def _verdict(report: Examination) -> str:
    problems, warned = len(report.problems), len(report.warnings)
    if problems:
        return "1 problem" if problems == 1 else f"{problems} problems"
    if warned:
        return "1 warning, no problem" if warned == 1 else f"{warned} warnings, no problem"
    return "Nothing looks wrong"


def _cards(report: Examination) -> list[Card]:
    lengths, dt = report.lengths, report.recording.attrs.control_dt
    if not len(lengths):
        return []
    total = int(lengths.sum())
    spread = f"{lengths.min()} / {int(np.median(lengths))} / {lengths.max()}"
    lasts = f"{total * dt / 60:.1f} min at {1 / dt:g} Hz" if dt else "no control step is stated"
    return [
        Card("Episodes", f"{len(lengths):,}", "", f"{len(report.recording.rows)} keys of numbers"),
        Card("Steps", f"{total:,}", "", lasts),
        Card("Length", str(int(np.median(lengths))), "", f"min / median / max {spread}"),
        Card("Problems", str(len(report.problems)), "", "keep it from being trained on"),
        Card("Warnings", str(len(report.warnings)), "", "likely faults"),
    ]


def _plots(report: Examination) -> Iterator[Plot]:
    recording = report.recording
    odd = {i for finding in report.findings for i in finding.episodes if "drop_episodes" in finding.mend}
    groups, maps = find_groups(recording), map_windows(recording)
    count = int(groups.labels.max()) + 1 if len(groups.labels) else 1
    sizes = ", ".join(map(str, np.bincount(groups.labels))) if len(groups.labels) else ""
    told = (
        f"{count} groups of {sizes} episodes, silhouette {groups.silhouette:.2f}." if count > 1 else "One group only."
    )
    yield _plot("Length of each episode", drawings.lengths(recording, odd), "In the order of the recording.")
    if (drawn := drawings.returns(recording)) is not None:
        yield _plot("Return of each episode", drawn, "")
    for key in recording.rows:
        yield _plot(
            f"Ranges of {key}",
            drawings.ranges(recording, key),
            "Of its least to its largest number; a dash at the median.",
        )
    for key in recording.rows:
        if (drawn := drawings.paths(recording, key, groups)) is not None:
            yield _plot(f"Paths of {key}", drawn, f"Its first two numbers, a color for each group. {told}")
    if maps is None:
        return
    shares = [f"component {i + 1}, {100 * share:.0f} %" for i, share in enumerate(maps.explained)]
    drawn = drawings.window_map(maps.pca, recording, maps, groups, "principal components", (shares[0], shares[1]))
    yield _plot("Windows, principal components", drawn, f"What varies most. {told}")
    drawn = drawings.window_map(maps.tsne, recording, maps, groups, "t-SNE", ("", ""))
    yield _plot("Windows, t-SNE", drawn, "Neighbors stay neighbors; distances far away mean nothing.")


def _plot(title: str, drawn: str, note: str) -> Plot:
    return Plot(title, Markup(drawn), note)  # names of keys in it were escaped by matplotlib
