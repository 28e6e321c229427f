"""The scores of doubt there are: one dict, for gates, commands and studies."""

from __future__ import annotations

from collections.abc import Sequence

from robolearn.catalog import Catalog
from robolearn.data.keys import key_problem
from robolearn.errors import UserError
from robolearn.policies.ensemble import Ensemble
from robolearn.trust.scores.denoising import DENOISING
from robolearn.trust.scores.dropout import DROPOUT
from robolearn.trust.scores.elapsed import TIME
from robolearn.trust.scores.exact import EXACT_DEVIATION, EXACT_DISAGREEMENT, EXACT_ENTROPY
from robolearn.trust.scores.familiarity import MAHALANOBIS, NEIGHBOR
from robolearn.trust.scores.gaussian_process import GP
from robolearn.trust.scores.laplace import LAPLACE
from robolearn.trust.scores.novelty import LOGPZO, RND
from robolearn.trust.scores.samples import DISAGREEMENT, ENTROPY, STAC, STAC_SINGLE, VARIANCE
from robolearn.trust.scores.score import Score
from robolearn.types import INTERVENING

SCORES: Catalog[Score] = Catalog(
    "score",
    {
        score.name: score
        for score in (
            DISAGREEMENT,
            EXACT_DISAGREEMENT,
            VARIANCE,
            ENTROPY,
            EXACT_ENTROPY,
            EXACT_DEVIATION,
            STAC,
            STAC_SINGLE,
            DROPOUT,
            DENOISING,
            NEIGHBOR,
            MAHALANOBIS,
            RND,
            LOGPZO,
            LAPLACE,
            GP,
            TIME,
        )
    },
    made_by=lambda score: score.fit or score.call,
)


def register_score(score: Score) -> None:
    """Add a score of one's own; whoever calibrates with it or opens its gate has to do so first.

        register_score(Score("boldness", lambda seen: seen.executed.flatten(1).norm(dim=1)))

    Raises:
        UserError: It has no name that can be, another module has one of that name, or what it fits cannot be restored.
    """
    if score.name == INTERVENING or key_problem(score.name):
        raise UserError(f"a score cannot be called {score.name!r}; choose another name")
    if (score.fit is None) != (score.restore is None):
        raise UserError(f"score {score.name}: give fit and restore together; a gate keeps what was fitted")
    SCORES[score.name] = score


def find_score(name: str) -> Score:
    """The score of a name.

    Raises:
        UserError: There is none.
    """
    if name not in SCORES:
        raise UserError(f"score {name!r} is unknown; choose from {', '.join(SCORES)}, or register it first")
    return SCORES[name]


def default_score(ensemble: Ensemble) -> str:
    """The name of the score that is taken where none is asked for."""
    if len(ensemble) > 1:
        return DISAGREEMENT.name
    return (STAC_SINGLE if ensemble.members[0].family.is_deterministic else STAC).name


def check_score_names(names: Sequence[str], ensemble: Ensemble, period: int) -> list[Score]:
    """Scores that can be computed of an ensemble, with chunks replaced every ``period`` steps.

    Raises:
        UserError: One is unknown, or needs what is not there.
    """
    scores = [find_score(name) for name in names]
    for score in scores:
        try:
            score.check(ensemble, period)
        except ValueError as error:
            raise UserError(f"score {score.name}: {error}") from None
    return scores
