"""The page of a comparison is one valid file that holds the verdict, both policies and every pair."""

import dataclasses

import numpy as np
import pytest

from robolearn.report.comparison import Comparison
from robolearn.report.comparison_page import write_page
from robolearn.rollout.pairs import Judge, Pair, Question
from tests.report import synthetic
from tests.report.test_page import Page

EVIL = "<script>alert(1)</script>"
WAY = {
    "checkpoint": "00002000",
    "sha256": "0" * 64,
    "policy": "flow on mlp",
    "sampling": {"sampler": None, "steps": None},
    "execution": {"exec_horizon": 8, "ensembling": None, "delay": 0, "keep_noise": False},
    "watch": {"gate": False, "fallback": None},
    "calibrated": [],
    "training_seed": 0,
}


def comparison(directory, count=30, run="runs/new"):
    """B, which succeeds more often; every seventh pair is broken."""
    a, b = synthetic.avoid(count, seed=0), synthetic.avoid(count, seed=0)
    rng, pairs, judge = np.random.default_rng(0), [], Judge(Question())
    for i, (one, other) in enumerate(zip(a, b, strict=True)):
        reason = "error" if i % 14 == 13 else "time"
        ends = (dataclasses.replace(one, success=bool(rng.random() < 0.3), reason=reason, start=str(i)), other)
        pairs.append(
            Pair.from_trajectories(ends[0], dataclasses.replace(other, success=True, start=str(i)), tells_success=True)
        )
        judge.take(pairs[-1])
    source = {"a": WAY, "b": WAY | {"sampling": {"sampler": "heun", "steps": 2}}, "seed": 100_000}
    source["environment"] = {"id": "envs:robolearn/Avoid-v0", "kwargs": {"moved": 0.06, "name": EVIL}}
    facts = {"run_a": "runs/old", "run_b": run, "hardware": "a processor"}
    command = "robolearn compare runs/old runs/new " + "--env.kwargs moved 0.06 " * 9
    return Comparison(judge.verdict(), tuple(pairs), source, facts, command, directory)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    made = comparison(folder, run=EVIL)
    write_page(folder / "comparison.html", made)
    assert [path.name for path in folder.iterdir()] == ["comparison.html"]
    return made, (folder / "comparison.html").read_text(encoding="utf-8")


def test_the_page_is_valid_and_complete(written):
    made, html = written
    page = Page(html)  # every tag is closed
    assert html.lstrip().startswith("<!doctype html>")
    assert page.count("h1") == 1
    assert page.count("svg") == 1
    for part in (made.verdict.words, "Difference over pairs", "The two policies", "Pairs", made.command.strip()):
        assert part in page.text
    assert f"{made.verdict.difference:+.3f}" in page.text
    assert all(f'<td class="num">{pair.seed}</td>' in html for pair in made.pairs)


def test_the_page_says_how_both_act_in_words(written):
    _, html = written
    text = Page(html).text
    for part in ("flow on mlp", "sampler heun, steps 2", "exec_horizon 8, delay 0", "nothing chosen", "none"):
        assert part in text
    assert '{"' not in text
    assert "Config(" not in text
    assert "kwargs moved 0.06" in text


def test_the_page_asks_nothing_of_the_network_and_runs_nothing(written):
    _, html = written
    page = Page(html)
    assert page.count("script") == page.count("link") == page.count("img") == 0
    assert EVIL in page.text  # as text
    references = [attrs[key] for _, attrs in page.tags for key in ("src", "href", "xlink:href") if key in attrs]
    assert all(reference.startswith(("#", "data:")) for reference in references)
    assert "url(" not in html.replace("url(#", "")
