"""How the documentation is written: wrapped, in American spelling, with every public name in the reference."""

import re
from pathlib import Path

import pytest

import robolearn

ROOT = Path(__file__).parents[1]
WIDTH = 100
WRITTEN_BY_STUDIES = {f"docs/results/{name}.md" for name in ("safety", "training", "triangle")}
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "datasets" / "README.md", *ROOT.glob("docs/**/*.md"))
]
BRITISH = re.compile(
    r"\w*(?:normalis|neighbour|penalis|colour|quantis|labell|optimis|behaviour|centre|learnt|modell|organis|recognis"
    r"|initialis|generalis|travell|minimis|summaris|artefact|vectoris|favour|analyse)\w*",
    flags=re.IGNORECASE,
)


def prose(page: str) -> list[str]:
    """Lines of a page that are sentences: no code, no tables."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    return [line for line in text.splitlines() if not line.startswith(("    ", "|"))]


@pytest.mark.parametrize("page", sorted(set(PAGES) - WRITTEN_BY_STUDIES))
def test_prose_is_wrapped_and_american(page):
    assert [line for line in prose(page) if len(line) > WIDTH] == []
    words = re.sub(r"`[^`]*`", "", "\n".join(prose(page)))  # names in code are spelled as the code spells them
    assert BRITISH.findall(words) == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 75


def test_the_reference_has_every_public_name():
    text = (ROOT / "docs" / "reference" / "index.md").read_text()
    members = re.search(r"members: \[([^]]*)\]", text)
    assert members is not None
    assert sorted(members[1].replace(",", " ").split()) == robolearn.__all__


def test_the_site_lists_every_page():
    site = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"^ +- (\S+\.md)$", site, flags=re.MULTILINE))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
