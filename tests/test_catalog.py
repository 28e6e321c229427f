"""What is chosen by name: nobody takes a name that another module gave, and whoever gave one may give it again."""

from typing import Any

import pytest

from robolearn.catalog import Catalog
from robolearn.errors import UserError
from robolearn.formats.registry import FORMATS
from robolearn.policies.registry import BACKBONES, FAMILIES, name_of
from robolearn.trust.scores.registry import SCORES, register_score

CELL = """
from dataclasses import dataclass

from robolearn.formats.format import Format
from robolearn.nets.backbone import BackboneConfig
from robolearn.policies.family import FamilyConfig
from robolearn.trust.scores.score import Score


@dataclass(frozen=True)
class MedianConfig(FamilyConfig):
    def build(self, make_net, action_horizon, action_dim): ...


@dataclass(frozen=True)
class LinearConfig(BackboneConfig):
    def build(self, shapes): ...


table = Format("a table", read=lambda source, options: None)
stillness = Score("stillness", lambda seen: seen.elapsed)
fitted = Score.of_embeddings("rnd", lambda embeddings, chunks, generator: None, lambda state: None)
"""


def run_cell(module):
    """What a cell of a notebook, or a module, defines anew each time that it is run."""
    names: dict[str, Any] = {"__name__": module}
    exec(CELL, names)
    return names


@pytest.fixture
def catalogs(scores_of_before):
    yield
    for catalog, name in ((FAMILIES, "median"), (BACKBONES, "linear"), (FORMATS, "table")):
        catalog.pop(name, None)


def test_a_cell_may_be_run_again_and_what_it_defined_last_counts(catalogs):
    for _ in range(2):
        cell = run_cell("__main__")
        FAMILIES["median"], BACKBONES["linear"], FORMATS["table"] = (
            cell["MedianConfig"],
            cell["LinearConfig"],
            cell["table"],
        )
        register_score(cell["stillness"])
    assert (name_of(cell["MedianConfig"]()), name_of(cell["LinearConfig"]())) == ("median", "linear")
    assert FORMATS["table"] is cell["table"]
    assert SCORES["stillness"] is cell["stillness"]


def test_a_name_of_another_module_is_not_taken(catalogs):
    cell, other = run_cell("mine"), run_cell("theirs")
    FAMILIES["median"] = cell["MedianConfig"]
    register_score(cell["stillness"])
    taken = {
        "family 'flow' already, of robolearn.policies.flow;": lambda: FAMILIES.update(flow=cell["MedianConfig"]),
        "family 'median' already, of mine; choose": lambda: FAMILIES.update(median=other["MedianConfig"]),
        "format 'act' already, of robolearn.formats.act;": lambda: FORMATS.update(act=cell["table"]),
        "score 'stillness' already, of mine;": lambda: register_score(other["stillness"]),
        "score 'rnd' already, of robolearn.trust.scores.novelty": lambda: register_score(cell["fitted"]),
    }
    for line, take in taken.items():
        with pytest.raises(UserError, match=f"there is a {line}"):
            take()


def test_families_and_backbones_share_their_names_as_a_run_keeps_one_word_for_either(catalogs):
    cell = run_cell("mine")
    with pytest.raises(UserError, match="there is a family 'gp' already"):
        BACKBONES["gp"] = cell["LinearConfig"]
    with pytest.raises(UserError, match="there is a backbone 'mlp' already"):
        FAMILIES["mlp"] = cell["MedianConfig"]


def test_a_catalog_is_a_dictionary():
    catalog = Catalog("number", {"one": 1})
    catalog["two"] = 2
    assert (dict(catalog), list(catalog), "two" in catalog, catalog.pop("two"), len(catalog)) == (
        {"one": 1, "two": 2},
        ["one", "two"],
        True,
        2,
        1,
    )
