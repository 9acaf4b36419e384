"""New wheels on their way in: found in folders, read (by several processes where that pays), and judged."""

from __future__ import annotations

import os
from collections import deque
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from trtreg.errors import IndexPublishError
from trtreg.index.ledger import Source
from trtreg.index.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trtreg.index import wheels
    from trtreg.index.ledger import Ledger

__all__ = ["SUFFIX", "Accepted", "Group", "Refused", "Scan", "judge", "judged"]

SUFFIX: Final = ".publish.attestation"
"""What `pypi-attestations sign` and the action that publishes to PyPI put behind a wheel's name."""

_BATCH: Final = 100  # wheels that go to a process at once,
_BATCH_BYTES: Final = 64 << 20  # unless they are big
_WORTH_WHILE: Final = (1000, 256 << 20)  # wheels or bytes from which on starting a process pays


class Refused(NamedTuple):
    """A wheel that is not taken, and why."""

    path: str
    reason: str


class Group(NamedTuple):
    """New files that installers would take for the same wheel, and the one (name, SHA-256) that is published."""

    sources: tuple[Source, ...]
    published: tuple[str, str] | None


class Accepted(NamedTuple):
    """A wheel to be published, or, with no facts, files that are published already; and what was refused beside it."""

    facts: wheels.Facts | None
    same: tuple[Source, ...]
    refused: tuple[Refused, ...]


class Scan:
    """The files that were named, or that lie in the folders that were named."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self.total = 0
        self.attested: list[str] = []
        """Paths of wheels beside which an attestation lies."""
        self.refused: list[Refused] = []

    def sources(self) -> Iterator[Source]:
        """Look at each file, without opening it."""
        for path in self._paths:
            whole = os.path.abspath(path)
            if os.path.isdir(whole) and not whole.endswith(".whl"):
                yield from self._listed(whole)
                continue
            folder, file = os.path.split(whole)
            self.total += 1
            try:
                status = os.lstat(whole)
            except OSError as error:
                self._refuse(folder, file, f"it cannot be read: {error.strerror}")
            else:
                if os.path.lexists(whole + SUFFIX):
                    self.attested.append(whole)
                yield Source(folder, file, status.st_size, status.st_mtime_ns, status.st_ino)

    def _listed(self, folder: str) -> Iterator[Source]:
        # By a descriptor: with the path of the folder each look at a file takes longer.
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    # Anything else in a folder of wheels is nobody's mistake.
                    if entry.name.endswith(".whl"):
                        self.total += 1
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except OSError as error:
                            self._refuse(folder, entry.name, f"it cannot be read: {error.strerror}")
                        else:
                            yield Source(folder, entry.name, status.st_size, status.st_mtime_ns, status.st_ino)
                    elif entry.name.endswith(f".whl{SUFFIX}"):
                        self.attested.append(os.path.join(folder, entry.name.removesuffix(SUFFIX)))
        finally:
            os.close(descriptor)

    def groups(self, ledger: Ledger) -> Iterator[Group]:
        """Put files together that installers would take for the same wheel; what is no wheel by name is refused."""
        for identity, group in groupby(ledger.unknown(self._identify), itemgetter(0)):
            yield Group(tuple(source for _, source in group), ledger.published(identity))

    def _identify(self, source: Source) -> str | None:
        from trtreg.index import wheels  # where nothing is new, its imports are time for nothing

        try:
            return wheels.parse_name(source.file).identity
        except Refusal as refusal:
            self._refuse(source.folder, source.file, str(refusal))
            return None

    def _refuse(self, folder: str, file: str, reason: str) -> None:
        self.refused.append(Refused(os.path.join(folder, file), reason))


def judge(batch: Sequence[Group]) -> list[Accepted]:
    """Read the wheels of some groups; a verdict depends on nothing but the group."""
    return [_judge(group) for group in batch]


def judged(found: Iterable[Group], count: int, size: int, processes: int) -> Iterator[Accepted]:
    """Read and judge all groups; with other processes this one helps, and never more than a few batches wait."""
    batches = _batches(found)
    if processes < 2 or (count < _WORTH_WHILE[0] and size < _WORTH_WHILE[1]):  # noqa: PLR2004
        for batch in batches:
            yield from judge(batch)
        return
    from concurrent.futures import Future, ProcessPoolExecutor
    from multiprocessing import get_context

    from trtreg.index import beside

    # A copy shares the memory of this process, the more of it the more is imported, and needs no third to watch both.
    for batch in islice(batches, 1):
        yield from judge(batch)
    context = get_context("fork" if beside.is_possible() else "spawn")
    others = processes - 1
    waiting: deque[Future[list[Accepted]]] = deque()
    with ProcessPoolExecutor(others, mp_context=context) as pool:
        for batch in batches:
            if len(waiting) < 2 * others:
                waiting.append(pool.submit(judge, batch))
            else:
                yield from judge(batch)
            while waiting and waiting[0].done():
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _batches(found: Iterable[Group]) -> Iterator[list[Group]]:
    batch: list[Group] = []
    size = 0
    for group in found:
        batch.append(group)
        size += sum(source.size for source in group.sources)
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _judge(group: Group) -> Accepted:
    from trtreg.index import wheels

    read: list[tuple[Source, wheels.Facts]] = []
    refused: list[Refused] = []
    for source in dict.fromkeys(group.sources):
        path = os.path.join(source.folder, source.file)
        try:
            read.append((source, wheels.read(path, wheels.parse_name(source.file))))
        except Refusal as refusal:
            refused.append(Refused(path, str(refusal)))
        except IndexPublishError:
            raise
        except Exception as error:  # noqa: BLE001 - one hostile wheel must not keep the others out
            refused.append(Refused(path, f"it cannot be read: {type(error).__name__}: {error}"))
    kinds = {(facts.name.file, facts.sha256) for _, facts in read}
    if group.published is None and len(kinds) > 1:
        reason = f"{len(kinds)} files are the same wheel by name, with other names or other bytes: publish one of them"
        refused += [Refused(os.path.join(source.folder, source.file), reason) for source, _ in read]
        read = []
    for source, facts in list(read):
        contradiction = _contradiction(facts, group.published)
        if contradiction:
            refused.append(Refused(os.path.join(source.folder, source.file), contradiction))
            read.remove((source, facts))
    new = read[0][1] if read and group.published is None else None
    return Accepted(new, tuple(source for source, _ in read), tuple(refused))


def _contradiction(facts: wheels.Facts, published: tuple[str, str] | None) -> str | None:
    if published is None or published == (facts.name.file, facts.sha256):
        return None
    file, sha256 = published
    if file != facts.name.file:
        return f"the same wheel is published as {file}"
    return (
        f"it is published with other bytes (SHA-256 {sha256[:12]}..., this one {facts.sha256[:12]}...) and files never"
        " change: raise the version, or `trtreg index remove` it first"
    )
