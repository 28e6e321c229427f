import importlib.util
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from robolearn.report import plots
from robolearn.report.page import Report, write_report
from robolearn.report.proofs import Proof, radii_histogram
from robolearn.rollout.metrics import summarize
from robolearn.rollout.video import write_mp4

SPEC = importlib.util.spec_from_file_location("synthetic", Path(__file__).with_name("synthetic.py"))
assert SPEC is not None
assert SPEC.loader is not None
synthetic = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(synthetic)

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects tags and text and insists that every tag is closed in order."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


def report(trajectories, num_modes=None, **changes) -> Report:
    summary = summarize(trajectories, num_modes=num_modes, control_dt=0.05)
    base = Report(
        title="envs:robolearn/Avoid-v0",
        run="flow-mlp",
        summary=summary,
        trajectories=trajectories,
        command="python eval.py runs/flow-mlp --episodes 200",
        control_dt=0.05,
        latency={"p50_ms": 1.834, "p99_ms": 3.2, "nfe": 10, "parameters": 512345},
        facts={"dataset": "avoid.zarr, sha256 0123"},
    )
    return replace(base, **changes)


def written(tmp_path, rep: Report) -> str:
    write_report(tmp_path / "report.html", rep)
    assert [p.name for p in tmp_path.glob("report*")] == ["report.html"]
    return (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def avoid(tmp_path_factory):
    """A page of 20 episodes with modes, and what it reports."""
    rep = report(synthetic.avoid(20), 24)
    return rep, written(tmp_path_factory.mktemp("page"), rep)


def test_page_holds_the_numbers_with_their_intervals(avoid):
    rep, html = avoid
    text = Page(html).text
    assert html.startswith("<!doctype html>")
    for estimate in (rep.summary.success, rep.summary.final_score, rep.summary.mode_entropy):
        assert estimate is not None
        assert f"{estimate.value:.3f}" in text
        assert f"{estimate.low:.3f} to {estimate.high:.3f}" in text
    assert f"{rep.summary.modes_seen} of 24 modes seen" in text
    assert "1.83 ms" in text
    assert "512,345" in text
    assert rep.command in text
    assert "avoid.zarr, sha256 0123" in text
    assert len(html) < 3e6


def test_a_page_says_that_the_machine_was_busy(tmp_path, avoid):
    times = {"p50_ms": 208.0, "cpu_ms": 7.0, "waited": 0.9, "gate_p50_ms": 40.0, "gate_cpu_ms": 2.0, "gate_waited": 0.5}
    text = Page(written(tmp_path, report(synthetic.avoid(4), 24, latency=times))).text
    assert "Measured on a busy machine: planning took 208 ms by the clock in the median, 7 ms of CPU time" in text
    assert "Measured on a busy machine: the gate took 40 ms by the clock in the median, 2 ms of CPU time" in text
    assert "busy machine" not in Page(avoid[1]).text


def test_every_episode_is_in_the_table(avoid):
    rep, html = avoid
    rows = re.findall(r'<tr><td class="num">(\d+)</td><td class="num">(\d+)</td>', html)
    assert [(int(e), int(s)) for e, s in rows] == [(t.episode, t.seed) for t in rep.trajectories]


def test_page_is_self_contained(tmp_path):
    video = tmp_path / "clip.mp4"
    write_mp4(video, np.zeros((4, 32, 32, 3), np.uint8), fps=10.0)
    page = Page(written(tmp_path, report(synthetic.avoid(10), 24, videos=[("Episode 3", True, video)])))
    assert page.count("script") == page.count("link") == page.count("img") == 0
    references = [a[k] for _, a in page.tags for k in ("src", "href", "xlink:href") if k in a]
    assert all(r.startswith(("data:video/mp4;base64,", "#")) for r in references)
    videos = [a for tag, a in page.tags if tag == "video"]
    assert len(videos) == 1
    assert {"controls", "loop", "muted", "playsinline"} <= videos[0].keys()


def test_text_from_outside_cannot_inject_html(tmp_path):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    runs = synthetic.avoid(8)
    runs[0] = replace(runs[0], success=False, reason=f"error: {evil}")
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not looked at")
    html = written(
        tmp_path,
        report(
            runs,
            24,
            title=evil,
            run=evil,
            command=evil,
            facts={evil: evil},
            latency={evil: 1.0},
            videos=[(evil, False, clip)],
            training_curve=[{"step": s, f"{evil}loss": 1.0, "$x$\\bad_loss": 2.0, "success": 0.5} for s in (1, 2)],
        ),
    )
    page = Page(html)
    assert page.count("script") == page.count("img") == 0
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert evil in page.text


def headings(tmp_path, rep: Report) -> list[str]:
    return re.findall(r"<h3>(.*?)</h3>", written(tmp_path, rep))


def test_plots_follow_what_there_is_to_show(tmp_path):
    curve = [{"step": s, "loss": 1 / s} for s in range(1, 20)]
    everything = headings(tmp_path, report(synthetic.avoid(20), 24, training_curve=curve))
    assert everything == [
        "Paths in the plane",
        "Modes",
        "Score over time",
        "Final score",
        "Episode length",
        "Training",
    ]
    flat = [replace(t, actions=np.zeros((len(t), 7), np.float32)) for t in synthetic.pusht(20)]
    assert headings(tmp_path, report(flat)) == ["Score over time", "Final score", "Episode length"]


@pytest.mark.parametrize("curve", [[], [{"step": 1}], [{"step": 1, "loss": 0.0}], [{"loss": 1.0}]])
def test_a_curve_with_nothing_to_draw_is_left_out(tmp_path, curve):
    assert "Training" not in headings(tmp_path, report(synthetic.pusht(3), training_curve=curve))


def test_one_episode_that_ended_before_its_first_action(tmp_path):
    run = synthetic.pusht(1)[0]
    empty = np.zeros(0, np.float32)
    run = replace(
        run,
        actions=np.zeros((0, 2), np.float32),
        rewards=empty,
        scores=empty,
        success=False,
        reason="unstable",
    )
    text = Page(written(tmp_path, report([run]))).text
    assert "no interval from one episode" in text
    assert "inf" not in re.findall(r"\w+", text)


def test_drawings_take_their_colors_from_the_page(avoid):
    html = avoid[1]
    drawings = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "var(--good)" in drawings
    assert "var(--bad)" in drawings
    assert "#0102" not in drawings
    ids = re.findall(r' id="(.*?)"', drawings)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"(?:url\(|href=\")#(.*?)[\")]", drawings)) <= set(ids)


def test_labels_of_axes_keep_their_numbers():
    """Coordinates are shortened to two decimals; what stands at an axis is what readers take from it."""
    drawing = plots.svg("small", lambda axes: axes[0].plot([0.001, 0.008], [0.0, 1.0]))
    assert not re.findall(r"[ML] \d+\.\d{3}", drawing)
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", drawing)
    assert {"0.002", "0.004", "0.006", "0.008"} <= set(labels)


def test_a_name_is_text_wherever_a_drawing_has_it():
    """Not markup in what screen readers say, and no formula at an axis."""
    name = '"><img src=x> $_{$ \\1'
    drawing = plots.svg(name, lambda axes: axes[0].set(xlabel=name))
    assert Page(drawing).count("img") == 0
    assert dict(Page(drawing).tags[0][1])["aria-label"] == name
    assert escape(name, quote=False) in drawing


def test_the_page_is_the_same_every_time(tmp_path, avoid):
    assert written(tmp_path, report(synthetic.avoid(20), 24)) == avoid[1]


def test_a_missing_video_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        write_report(tmp_path / "report.html", report(synthetic.pusht(2), videos=[("x", True, tmp_path / "gone.mp4")]))
    assert not list(tmp_path.iterdir())


def test_what_is_proved_stands_on_the_page_where_something_is(tmp_path, avoid):
    shares = {"proved": 0.75, "falsified": 0.25, "open": 0.0}
    proof = Proof("an error <moves> little", ("codes stay",), "float32", shares, 8, (0.002, 0.004, 0.0), (0.008, 0.01))
    rep, without = avoid
    text = Page(written(tmp_path, replace(rep, proofs=[proof]))).text
    for words in ("What is proved", "an error <moves> little", "provided that codes stay", "75.0", "25.0"):
        assert words in text
    assert "largest error proved" in text
    assert "What is proved" not in Page(without).text
    assert radii_histogram(replace(proof, proved_radii=(0.0,), falsified_radii=())) is None
