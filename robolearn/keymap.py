"""Keys made of other keys, as configuration: renamed, sliced, stacked and cast.

    img=pixels                    renamed
    agent_pos=state[:2]           a part of it: [i], [a:b], [i,j,k], of the first axis
    state=qpos+qvel               one behind the other
    image:uint8=rgb               as another type
    goal?=desired_goal            only where there is no goal

The same grammar serves environments (`env.obs`), data sets (`dataset.obs`) and imports. A key may hold dots, slashes
and spaces; one that holds a sign of the grammar is quoted: 'a+b', "it's", with a quote inside doubled where both occur.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robolearn.errors import UserError
from robolearn.keyentry import NAME, TYPES, Array, Entry, Pick, Source, quoted

ACTION = "action"
GRAMMAR = (
    "expected NEW=SOURCE, NEW:TYPE=SOURCE or NEW=SOURCE+SOURCE, a SOURCE being a key with [i], [a:b] or [i,j,k] where "
    "wanted, in quotes where it holds one of = + [ ] : ? ' \""
)
TYPE = re.compile(r"\s*(\w+)\s*")
PICK = re.compile(r"\[([^\[\]]*)\]\s*")
ASSIGN = re.compile(r"(\??)=")
PLUS = re.compile(r"\+")


@dataclass(frozen=True)
class KeyMap:
    """Keys and what each is made of.

    Attributes:
        entries: In order; no name twice.
    """

    entries: tuple[Entry, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str], field: str = "obs") -> KeyMap:
        """Read entries.

        Args:
            texts: An entry each.
            field: What they are the value of, for messages: env.obs.

        Raises:
            UserError: One is none, or a name is given twice.
        """
        entries = tuple(_Reader(text, field).entry() for text in texts)
        names = [entry.name for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"`{field}`: {quoted(name)} is given twice")
        return cls(entries)

    def texts(self) -> tuple[str, ...]:
        """What `parse` reads."""
        return tuple(map(str, self.entries))

    @property
    def names(self) -> tuple[str, ...]:
        """The new keys."""
        return tuple(entry.name for entry in self.entries)

    @property
    def observed(self) -> tuple[str, ...]:
        """Those of the new keys that are no actions."""
        return tuple(name for name in self.names if name != ACTION)

    def only(self, names: Iterable[str]) -> KeyMap:
        """The entries of these names."""
        wanted = set(names)
        return KeyMap(tuple(entry for entry in self.entries if entry.name in wanted))

    @property
    def sources(self) -> tuple[str, ...]:
        """The keys that they are made of, each once."""
        return tuple(dict.fromkeys(source.key for entry in self.entries for source in entry.sources))

    def apply(self, arrays: Mapping[str, Array], leading: int = 1) -> dict[str, Array]:
        """Make the new keys.

        Args:
            arrays: Key -> array [*leading, ...].
            leading: How many axes come before those of a single observation: time, or batch and time; 0 for none.

        Returns:
            New key -> array [*leading, ...], with at least one further axis. Others are left out.

        Raises:
            UserError: A source is not there, has no such part, or is of no use as this type; the line says which.
        """
        return {entry.name: np.ascontiguousarray(entry.make(arrays, leading)) for entry in self.due(arrays).entries}

    def join(self, arrays: Mapping[str, Array], leading: int = 0) -> dict[str, Array]:
        """As `apply`, in the type that the parts have: for bounds, which may be infinite."""
        return {entry.name: entry.join(arrays, leading) for entry in self.due(arrays).entries}

    def due(self, there: Container[str]) -> KeyMap:
        """The entries that have to be made where these keys are there already."""
        return KeyMap(tuple(entry for entry in self.entries if not (entry.optional and entry.name in there)))

    def replace(self, there: Sequence[str]) -> tuple[str, ...]:
        """The keys that there are, with the new ones in the place of those that they are made of; actions stay."""
        due = self.due(there)
        kept = (key for key in there if key == ACTION or key not in due.sources)
        return tuple(dict.fromkeys([*kept, *due.names]))

    def where_missing(self) -> KeyMap:
        """The same for whoever may have the new keys already: an environment of data that were mapped.

        A name that is a source as well is made in any case: `state=state[:2]` says that what is called so is another.
        """
        return KeyMap(
            tuple(dataclasses.replace(e, optional=e.optional or e.name not in self.sources) for e in self.entries)
        )

    def over(self, base: KeyMap) -> KeyMap:
        """These entries, and those of another map whose names are not among them."""
        return KeyMap((*(entry for entry in base.entries if entry.name not in self.names), *self.entries))


class _Reader:
    """Reads one entry from left to right."""

    def __init__(self, text: str, field: str):
        self.text, self.field, self.at = text, field, 0

    def entry(self) -> Entry:
        name, dtype = self._name(), None
        if self._skips(":"):
            dtype = self._take(TYPE)[1]
            if dtype not in TYPES:
                raise UserError(f"`{self.field}` {self.text}: there is no type {dtype}; choose from {', '.join(TYPES)}")
        if not name:
            raise self._wrong("a new key has a name")
        optional, sources = bool(self._take(ASSIGN)[1]), [self._source()]
        while self.at < len(self.text):
            self._take(PLUS)
            sources.append(self._source())
        return Entry(name, tuple(sources), dtype, optional)

    def _source(self) -> Source:
        key, picks = self._name(), []
        while match := PICK.match(self.text, self.at):
            self.at = match.end()
            picks.append(self._pick(match[1]))
        return Source(key, tuple(picks))

    def _pick(self, inside: str) -> Pick:
        try:
            if ":" in inside:
                ends = [int(end) if end.strip() else None for end in inside.split(":")]
                return slice(*ends)
            numbers = [int(number) for number in inside.split(",")]
        except (ValueError, TypeError):  # no whole number, or too many of them in a slice
            raise self._wrong(f"[{inside}] is no index") from None
        return tuple(numbers) if len(numbers) > 1 else numbers[0]

    def _name(self) -> str:
        match = self._take(NAME)
        if match["bare"] is not None:
            return match["bare"].strip()
        return match["double"].replace('""', '"') if match["single"] is None else match["single"].replace("''", "'")

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise self._wrong("")
        self.at = match.end()
        return match

    def _skips(self, sign: str) -> bool:
        is_next = self.text.startswith(sign, self.at)
        self.at += is_next
        return is_next

    def _wrong(self, why: str) -> UserError:
        return UserError(f"`{self.field}` {self.text}: {f'{why}; ' if why else ''}{GRAMMAR}")
