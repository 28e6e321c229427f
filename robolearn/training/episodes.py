"""Which episodes a run trains on and which it holds out: chosen at its first start, and kept from then on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robolearn.data.demos import Demos
from robolearn.data.splits import bootstrap_episodes, split_episodes, usable_episodes
from robolearn.errors import UserError
from robolearn.training.config import TrainConfig
from robolearn.training.run import DataFacts, EarlierData
from robolearn.types import Array


@dataclass(frozen=True)
class Kept:
    """What a run that goes on was begun with.

    Attributes:
        facts: Its data.json.
        step: Step from which it goes on.
        accept_changes: Whether it may go on although the demonstrations are others now.
    """

    facts: DataFacts
    step: int
    accept_changes: bool = False


def choose_episodes(demos: Demos, cfg: TrainConfig) -> dict[str, Array]:
    """Episodes to train on and, where the share makes at least one, to validate on."""
    usable = find_usable(demos, cfg)
    wanted, held_out = cfg.dataset.num_episodes, cfg.dataset.validation_fraction
    wanted = len(usable) if wanted is None else wanted
    if not 1 <= wanted <= len(usable):
        raise UserError(f"`dataset.num_episodes` {wanted}: {demos.name} has {len(usable)} episodes")
    has_validation = held_out * wanted >= 1
    fractions = {"train": (1 - held_out * has_validation) * wanted / len(usable)}
    if has_validation:
        fractions["validation"] = held_out * wanted / len(usable)
    seed = cfg.seed if cfg.dataset.split_seed is None else cfg.dataset.split_seed
    parts = {name: usable[part] for name, part in split_episodes(len(usable), fractions, seed).items()}
    if cfg.dataset.bootstrap:
        parts["train"] = bootstrap_episodes(parts["train"], cfg.seed)
    return parts


def needed_episodes(demos: Demos, cfg: TrainConfig, parts: dict[str, Array]) -> Array:
    """Numbers of the episodes that have to be decoded, ascending.

    Members of an ensemble draw from the same ones, and share a copy of what does not fit into memory.
    """
    drawn_from = choose_episodes(demos, without_bootstrap(cfg)).values() if cfg.dataset.bootstrap else ()
    return np.unique(np.concatenate([*parts.values(), *drawn_from]))


def without_bootstrap(cfg: TrainConfig) -> TrainConfig:
    """The same on the episodes that a bootstrap draws from."""
    return dataclasses.replace(cfg, dataset=dataclasses.replace(cfg.dataset, bootstrap=False))


def find_usable(demos: Demos, cfg: TrainConfig) -> Array:
    """Episodes of all stores that are not to be left out, and are long enough or padded.

    Raises:
        UserError: There are too short ones and they are refused, all of one store would be dropped, or one that is to
            be left out is not there.
    """
    dropped = cfg.dataset.drop_episodes
    if outside := [i for i in dropped if not 0 <= i < len(demos.episode_ends)]:
        raise UserError(f"`dataset.drop_episodes` {outside[0]}: {demos.name} has 0 .. {len(demos.episode_ends) - 1}")
    window, usable, before = cfg.obs_horizon - 1 + cfg.action_horizon, [], 0
    for store in demos.stores:
        there = np.setdiff1d(np.arange(store.num_episodes), np.array(dropped, int) - before)
        if len(there) == 0:
            raise UserError(f"{store.path}: `dataset.drop_episodes` leaves none of its {store.num_episodes} episodes")
        lengths = np.diff(store.episode_ends, prepend=0)[there]
        try:
            usable.append(before + there[usable_episodes(lengths, window, cfg.dataset.short_episodes, there)])
        except UserError as error:
            raise UserError(f"{store.path}: {error}") from None
        before += store.num_episodes
    return np.concatenate(usable)


def keep_episodes(demos: Demos, cfg: TrainConfig, keys: Sequence[str], kept: Kept) -> tuple[dict[str, Array], str]:
    """The parts that a run was begun with, on the demonstrations that are there now, and their content hash.

    Where these have changed and that is accepted, what was held out stays held out, and episodes that have come since
    are trained on.

    Args:
        demos: What is there now.
        cfg: Of the run.
        keys: What it reads of them.
        kept: What the run was begun with.

    Raises:
        UserError: The demonstrations have changed and that is not accepted, or episodes are gone.
    """
    facts = kept.facts
    changed = changed_since(demos, cfg, keys, facts)
    if changed and not kept.accept_changes:
        raise UserError(
            f"{demos.name}: not the demonstrations that the run was trained on ({changed}); give those with "
            "`dataset.path`, start a new run, or resume with `changed_data` to go on with what is there now"
        )
    parts = _begun_with(demos, cfg, facts)
    if not (changed or facts.earlier or "validation" in parts) and "validation" in choose_episodes(demos, cfg):
        raise UserError("data.json: validation_episodes is empty, but the run's config.json holds some out")
    if not changed:
        return parts, facts.content_hash
    usable = find_usable(demos, cfg)
    parts = {name: part[np.isin(part, usable)] for name, part in parts.items()}
    new = np.setdiff1d(usable, _renumbered(demos, facts))
    parts["train"] = np.sort(np.concatenate([parts["train"], new]))
    parts = {name: part for name, part in parts.items() if name == "train" or len(part)}
    return parts, demos.part(needed_episodes(demos, cfg, parts)).content_hash(keys)


def changed_since(demos: Demos, cfg: TrainConfig, keys: Sequence[str], facts: DataFacts) -> str:
    """What tells the demonstrations from those that a run was begun with, in words; empty where nothing does.

    Args:
        demos: What is there now.
        cfg: Of the run.
        keys: What it reads of them.
        facts: What the run was begun with.
    """
    now = tuple(store.num_episodes for store in demos.stores)
    then = facts.store_episodes or now
    if now != then:
        return f"{' + '.join(map(str, now))} episodes, {' + '.join(map(str, then))} when the run was begun"
    read = demos.part(needed_episodes(demos, cfg, _begun_with(demos, cfg, facts))).content_hash(keys)
    # Runs were once begun with the hash of all episodes, also of those that they left out.
    if facts.content_hash == read or facts.content_hash == demos.content_hash(keys):
        return ""
    return f"sha256 {read[:12]}, the run has {facts.content_hash[:12]}"


def _begun_with(demos: Demos, cfg: TrainConfig, facts: DataFacts) -> dict[str, Array]:
    """The parts that a run was begun with, by what their episodes are called now."""
    renumbered = _renumbered(demos, facts)
    validation = renumbered[np.array(facts.validation_episodes, int)]
    if facts.training_episodes:
        train = renumbered[np.array(facts.training_episodes, int)]
    else:
        train = choose_episodes(demos, cfg)["train"]
        train = train[~np.isin(train, validation)]
    return {"train": train, **({"validation": validation} if len(validation) else {})}


def _renumbered(demos: Demos, facts: DataFacts) -> Array:
    """What each episode that the run was begun with is called now, where a store may have grown before it.

    Raises:
        UserError: Episodes are gone, or the run names one that it did not have.
    """
    then = facts.store_episodes or tuple(store.num_episodes for store in demos.stores)  # older runs do not say
    now = [store.num_episodes for store in demos.stores]
    if len(now) < len(then) or any(a < b for a, b in zip(now, then, strict=False)):
        raise UserError(
            f"{demos.name}: {' + '.join(map(str, now))} episodes, {' + '.join(map(str, then))} when the run was begun; "
            "which of them were held out cannot be told any more"
        )
    starts = np.concatenate([[0], np.cumsum(now)])[: len(then)]
    renumbered = np.concatenate([start + np.arange(count) for start, count in zip(starts, then, strict=True)])
    largest = max((*facts.training_episodes, *facts.validation_episodes), default=0)
    if largest >= len(renumbered):
        raise UserError(f"data.json: episode {largest}, but the stores had {len(renumbered)}")
    return renumbered


def earlier_data(kept: Kept | None, content_hash: str) -> tuple[EarlierData, ...]:
    """What a run was trained on before, with what it is trained on last left out."""
    if kept is None:
        return ()
    facts = kept.facts
    if content_hash == facts.content_hash:
        return facts.earlier
    before = EarlierData(facts.path, facts.content_hash, facts.num_episodes, facts.num_steps, kept.step)
    return (*facts.earlier, before)
