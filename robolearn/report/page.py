"""One self-contained HTML page of an evaluation: no network, no scripts, videos inside."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from robolearn.files import replacing
from robolearn.report import plots
from robolearn.report.departures import drawings, failures, sentence
from robolearn.report.proofs import Proof, drawn
from robolearn.rollout.busy import busy_remark
from robolearn.rollout.clipping import named
from robolearn.rollout.metrics import Summary
from robolearn.starts import judged
from robolearn.stats.value import Estimate
from robolearn.trust.departures import Departures
from robolearn.trust.summary import GateSummary
from robolearn.types import Trajectory

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Report:
    """Everything that the page shows.

    Attributes:
        title: What was evaluated, for example the environment's id.
        run: Name of the run.
        summary: The numbers.
        trajectories: The episodes that they come from.
        command: The exact command line.
        control_dt: Seconds per action.
        latency: Of choosing actions at batch 1: label -> number, as `measure_latency` gives them.
        gate: What the gate did, where there was one.
        facts: Label -> text: versions, commit, hardware, dataset with hash, seed, checkpoint.
        training_curve: Rows of metrics.jsonl: "step" with any `...loss` and `...success`; None if absent.
        proofs: What was proved of the policy.
        departures: Where episodes leave what was demonstrated, or why that is not known; None where nobody asked.
        videos: (caption, success, mp4 file); embedded as they are, so keep them few and short.
    """

    title: str
    run: str
    summary: Summary
    trajectories: list[Trajectory]
    command: str
    control_dt: float
    latency: Mapping[str, int | float] = field(default_factory=dict)
    gate: GateSummary | None = None
    facts: dict[str, str] = field(default_factory=dict)
    training_curve: list[dict] | None = None
    proofs: list[Proof] = field(default_factory=list)
    departures: Departures | str | None = None
    videos: list[tuple[str, bool, Path]] = field(default_factory=list)


@dataclass(frozen=True)
class Card:
    """One headline number; `bar` is (low, value, high) in percent where the number lives in [0, 1]."""

    label: str
    value: str
    interval: str
    note: str
    bar: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Plot:
    """One drawing with its heading and what to know when reading it."""

    title: str
    svg: Markup
    note: str


def write_report(path: Path, report: Report) -> None:
    """Write the page; it appears complete or not at all.

    Raises:
        FileNotFoundError: For a video that is not there.
    """
    html = TEMPLATES.get_template("template.html").render(
        report=report,
        success=_success_card(report.summary),
        cards=_cards(report),
        gate=_gate_cards(report.gate) if report.gate is not None else [],
        latency=[latency_text(key, value) for key, value in report.latency.items()],
        busy=busy_remarks(report.latency),
        plots=_plots(report),
        radii=[Plot(title, Markup(svg), note) for title, svg, note in drawn(report.proofs)],
        departures=_departures(report.departures, report.control_dt),
        videos=[(caption, success, _data_uri(file)) for caption, success, file in report.videos],
    )
    with replacing(path) as part:
        part.write_text(html, encoding="utf-8")


def interval_text(estimate: Estimate, spec: str) -> str:
    """Spell an interval: "0.94 to 0.98"; one start has none."""
    if not estimate.has_interval:
        return "no interval from one start" if estimate.n > 1 else "no interval from one episode"
    return f"{estimate.low:{spec}} to {estimate.high:{spec}}"


def latency_text(key: str, value: int | float) -> tuple[str, str]:
    """Label a number: ("p50_ms", 1.234) becomes ("p50", "1.23 ms"), ("nfe", 10) stays ("nfe", "10")."""
    if key.endswith("waited"):
        return key.replace("_", " "), f"{value:.0%}"
    key = key.replace("cpu_ms", "CPU time_ms")
    if key.endswith("_ms"):
        return key.removesuffix("_ms").replace("_", " "), f"{value:.2f} ms"
    return key.replace("_", " "), f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"


def busy_remarks(latency: Mapping[str, int | float]) -> list[str]:
    """Sentences about times that were measured on a busy machine."""
    remarks = busy_remark(latency), busy_remark(latency, "the gate", "gate_")
    return [remark for remark in remarks if remark is not None]


def _cards(report: Report) -> list[Card]:
    summary, dt = report.summary, report.control_dt
    length, returns, normalized = summary.length, summary.episode_return, summary.normalized_return
    scores = (("Max score", summary.max_score, "best along the way"),)
    scores += (("Final score", summary.final_score, "after the last step"),)
    cards = [_share_card(label, score, note) for label, score, note in scores if score is not None]
    cards.append(Card("Return", f"{returns.value:.4g}", interval_text(returns, ".4g"), "sum of an episode's rewards"))
    if normalized is not None:
        cards.append(_share_card("Normalized return", normalized, "0 at random, 1 as an expert"))
    if summary.mode_entropy is not None:
        seen = f"{summary.modes_seen} of {summary.num_modes} modes seen"
        few = ", too few episodes to trust it" if summary.mode_entropy.n < 4 * (summary.num_modes or 0) else ""
        cards.append(_share_card("Mode entropy", summary.mode_entropy, seen + few))
    cards.append(
        Card("Length", f"{length.value:.1f} steps", interval_text(length, ".1f"), f"{length.value * dt:.1f} s")
    )
    if summary.smoothness is not None:
        jerk = summary.smoothness
        cards.append(
            Card(
                "RMS jerk",
                f"{jerk.value:.3g}",
                interval_text(jerk, ".3g"),
                "action units / s\u00b3, smaller is smoother",
            )
        )
    if summary.clipped.steps:
        note = f"to the declared space: {named(summary.clipped.dims)}"
        cards.append(Card("Steps with clipped actions", f"{summary.clipped.steps:.3f}", "", note))
    return cards


def _gate_cards(gate: GateSummary) -> list[Card]:
    promised = "no promise here"
    if gate.covered and gate.promise is not None:
        promised = f"{gate.promise}{'' if gate.fallback == 'watch' else ' where nothing is done on an alarm'}"
    rows = [
        ("Episodes with an alarm", gate.alarmed, gate.reason),
        ("Alarms in successes", gate.alarmed_successes, promised),
        ("Alarms in failures", gate.alarmed_failures, f"of {gate.alarmed_failures.n} failures"),
    ]
    if gate.tube is not None:
        promised = str(gate.tube.promise) if gate.covered else "no promise here"
        rows.append(("Episodes that left a tube", gate.tube.left, promised))
    cards = [_share_card(label, share, note) for label, share, note in rows if share.n]
    return [*cards, Card("Steps under intervention", f"{gate.intervened:.3f}", "", f"fallback: {gate.fallback}")]


def _share_card(label: str, estimate: Estimate, note: str) -> Card:
    bar = tuple(100 * min(max(x, 0.0), 1.0) for x in (estimate.low, estimate.value, estimate.high))
    return Card(label, f"{estimate.value:.3f}", interval_text(estimate, ".3f"), note, (bar[0], bar[1], bar[2]))


def _success_card(summary: Summary) -> Card:
    if summary.success is None:
        return Card("Success", "\u2013", "no success reported", starts_text(summary))
    return _share_card("Success", summary.success, starts_text(summary))


def starts_text(summary: Summary) -> str:
    """How many episodes and starts the numbers rest on, and how many episodes do not count."""
    n = summary.length.n
    episodes, starts = "1 episode" if n == 1 else f"{n:,} episodes", "start" if summary.num_starts == 1 else "starts"
    broken = f"; {summary.num_broken:,} more are broken and do not count" if summary.num_broken else ""
    return f"{episodes} from {summary.num_starts:,} distinct {starts}{broken}"


def _plots(report: Report) -> list[Plot]:
    runs, dt = judged(report.trajectories), report.control_dt
    drawn: list[tuple[str, str | None, str]] = []
    if report.gate is not None:
        curve = plots.uncertainty_over_time(runs, report.gate, dt)
        drawn.append(("Uncertainty over time", curve, "A line per episode, dots where interventions began."))
        drawn.append(("Success at each budget", plots.success_over_budgets(report.gate), "The same initial states."))
    drawn += [
        ("Paths in the plane", plots.plane_paths(runs), "Executed actions, " + _drawn(runs)),
        ("Modes", plots.mode_histogram(report.summary), "Successful episodes only."),
        *_outcome_plots(report.summary, runs, dt),
        ("Episode length", plots.distribution(runs, lambda t: len(t) * dt, "length [s]"), ""),
    ]
    if report.training_curve:
        drawn.append(("Training", plots.training_curve(report.training_curve), ""))
    # The drawings hold no text from outside except the names of losses, which matplotlib escapes.
    return [Plot(title, Markup(svg), note) for title, svg, note in drawn if svg is not None]


def _outcome_plots(summary: Summary, runs: Sequence[Trajectory], dt: float) -> list[tuple[str, str | None, str]]:
    """How well episodes went: by their score, or by their return where there is no score."""
    if summary.final_score is None:
        return [("Return", plots.distribution(runs, lambda t: t.episode_return, "return"), "")]
    over_time = plots.score_over_time(runs, dt)
    return [
        ("Score over time", over_time, "An episode that has ended keeps its last score."),
        ("Final score", plots.distribution(runs, lambda t: t.final_score, "final score"), ""),
    ]


def _departures(departures: Departures | str | None, control_dt: float) -> dict[str, Any] | None:
    """What the page says of them: a sentence, and where they are known drawings and a table."""
    if departures is None:
        return None
    if isinstance(departures, str):
        return {"sentence": departures, "plots": [], "failures": []}
    plots = [Plot(title, Markup(svg), note) for title, svg, note in drawings(departures, control_dt)]
    return {"sentence": sentence(departures), "plots": plots, "failures": failures(departures, control_dt)}


def _drawn(runs: Sequence[Trajectory]) -> str:
    shown = min(len(runs), plots.MAX_PATHS)
    return "every episode." if shown == len(runs) else f"{shown} of {len(runs)} episodes."


def _data_uri(file: Path) -> str:
    return "data:video/mp4;base64," + base64.b64encode(Path(file).read_bytes()).decode("ascii")
