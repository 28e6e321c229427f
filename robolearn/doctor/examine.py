"""Read a whole store once and collect everything that can be said about it. Damage is reported, never raised."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from robolearn.data.checks import ends_problem, rows_problem
from robolearn.data.decode import stray_color
from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore, usual_obs_keys
from robolearn.doctor.camera import Camera
from robolearn.doctor.dimensions import Jumps, find_jumps
from robolearn.doctor.environment import against_environment
from robolearn.doctor.finding import Finding, Severity
from robolearn.doctor.recording import Column, Recording, WholeColumn, columns_of
from robolearn.doctor.registry import check
from robolearn.doctor.trainable import refusals
from robolearn.errors import UserError
from robolearn.images import seen_shape
from robolearn.rollout.env_config import EnvConfig

MAX_COLUMNS, MAX_ROWS_BYTES = 512, 1 << 27  # of a key that is looked at dimension by dimension


@dataclass
class Examination:
    """Everything that was found.

    Attributes:
        recording: What was read, as far as it could be.
        findings: Problems first, then warnings, then notes.
        not_finite: Key -> number of NaN or infinite entries.
        jumps: Per dimension that has any, the largest first.
    """

    recording: Recording
    findings: list[Finding] = field(default_factory=list)
    not_finite: dict[str, int] = field(default_factory=dict)
    jumps: list[Jumps] = field(default_factory=list)

    def add(self, severity: Severity, sentence: str, key: str | None = None) -> None:
        """Note what the reading itself found; the same is said once."""
        if not any(finding.sentence == sentence for finding in self.findings):
            self.findings.append(Finding("store", severity, sentence, key=key))

    @property
    def problems(self) -> list[str]:
        """What keeps the store, or a key of it, from being trained on."""
        return [str(finding) for finding in self.findings if finding.severity == "problem"]

    @property
    def warnings(self) -> list[str]:
        """Likely faults."""
        return [str(finding) for finding in self.findings if finding.severity == "warning"]

    @property
    def notes(self) -> list[str]:
        """What is good to know."""
        return [str(finding) for finding in self.findings if finding.severity == "note"]

    @property
    def lengths(self) -> np.ndarray:
        """Steps per episode [e]; empty where the ends make no sense."""
        return self.recording.lengths

    @property
    def columns(self) -> list[Column]:
        """Ranges."""
        return self.recording.columns


def examine(store: DemoStore, env: EnvConfig | None = None) -> Examination:
    """Look at a store and, where one is given, at how it fits an environment."""
    intact = ends_problem(store.episode_ends) is None
    ends = store.episode_ends.astype(np.int64) if intact else np.zeros(0, np.int64)
    report = Examination(Recording(ends, attrs=store.attrs))
    for sentence in store.problems():
        report.add("problem", sentence)
    for sentence in store.faults():
        report.add("note", sentence)
    for key in store.keys if intact and store.num_steps else ():
        if not store.fault(key):
            _read(store, key, report)
    if not report.problems:
        report.findings += refusals(store)
    report.findings += check(report.recording)
    report.jumps = find_jumps(report.recording) if len(ends) else []
    if env is not None:
        observed = usual_obs_keys(store) or tuple(report.recording.observed)
        report.findings += against_environment(report.recording, env, observed)
    order: tuple[Severity, ...] = ("problem", "warning", "note")
    report.findings.sort(key=lambda finding: order.index(finding.severity))
    return report


def _read(store: DemoStore, key: str, report: Examination) -> None:
    numbers = math.prod(store.shapes[key])
    size = store.num_steps * numbers * store.dtypes[key].itemsize
    try:
        if seen_shape(store.shapes[key]) is not None or numbers > MAX_COLUMNS or size > MAX_ROWS_BYTES:
            _read_slabs(store, key, report)
        else:
            _read_rows(store, key, report)
    except (UserError, OSError) as error:
        report.add("problem", str(error), key)
    if absent := store.absent(key):
        report.add("note", f"data/{key}: {absent} chunks are absent and were read as the fill value, as zarr does", key)


def _read_rows(store: DemoStore, key: str, report: Examination) -> None:
    rows, ends = store.read(key).reshape(store.num_steps, -1), report.recording.ends
    report.recording.columns += columns_of(key, rows)
    if problem := rows_problem(key, rows, ends):
        report.add("problem", f"{store.path}: {problem}", key)
    if bad := int((~np.isfinite(rows)).sum()):
        report.not_finite[key] = bad
    elif problem is None:
        report.recording.rows[key] = rows


def _read_slabs(store: DemoStore, key: str, report: Examination) -> None:
    """Look at images, and at what is too large to look at dimension by dimension: one range for all."""
    is_image, column, faulty = seen_shape(store.shapes[key]) is not None, WholeColumn(key), False
    camera = Camera(store.shapes[key], store.dtypes[key], store.num_steps) if is_image else None
    for start, slab in store.slabs(key):
        problem = rows_problem(key, slab, report.recording.ends, start)
        if problem and not faulty:
            report.add("problem", f"{store.path}: {problem}", key)
            faulty = True
        good = slab if problem is None else slab[np.isfinite(slab)]
        if bad := slab.size - good.size:
            report.not_finite[key] = report.not_finite.get(key, 0) + bad
        column.add(good)
        if camera is not None and not faulty:
            camera.add(slab, start)
    whole = column.column()
    report.recording.columns += [] if whole is None else [whole]
    if camera is None or faulty:
        return
    if camera.layout is None:
        report.add("problem", stray_color(Demos([store]), key, [store]), key)
    report.recording.cameras[key] = camera
