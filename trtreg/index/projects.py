"""What lists say of a project: one line, of the newest release that an installer would take.

The page for people shows it, and `trtreg search` and `trtreg scan` read it where a catalogue is in shards.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final

from trtreg.index.pages import version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["line", "shard_of"]

_STRING: Final = r'"[^"\\]*(?:\\.[^"\\]*)*"'
# Between these keys of a line, which stand in this order, is what is said of a project.
_KEYS: Final = tuple(
    f',"{key}":' for key in ("yanked", "status", "summary", "requires", "tensorrt", "machine", "glibc", "cuda", "ops")
)
_OP: Final = re.compile(rf'\{{"name":({_STRING}),"version":({_STRING}),"namespace":({_STRING})')


def shard_of(project: str) -> str:
    """The shard of a project: the last byte of the CRC-32 of its name."""
    return f"{zlib.crc32(project.encode()) & 0xFF:02x}"


def line(project: str, lines: Sequence[str]) -> str:
    """Sum up the lines that the catalogue has of a project."""
    newest = _newest(project, lines)
    version = _version(project, newest[0])
    cuts = [_cut(one) for one in newest]
    _, yanked, status, summary, _, tensorrt, _, _, gpu, tail = cuts[0]  # `gpu` has "sms" and "ptx", too
    status = status.partition(",")[0]  # the link to a provenance object may follow
    machines = ",".join(sorted({machine for *_, machine, _, _, _ in cuts}))
    ops = _ops({cut[-1] for cut in cuts})
    others = [one.partition(',"ops":')[2] for one in lines if not one.endswith(tail)]  # mostly all are the same
    older_ops = _ops({*others}) - ops
    older = f',"older_ops":[{_listed(older_ops)}]' if older_ops else ""
    return (
        f'{{"project":"{project}","version":"{version}","summary":{summary},"status":{status},"yanked":{yanked},'
        f'"files":{len(lines)},"shard":"{shard_of(project)}","ops":[{_listed(ops)}],"tensorrt":{tensorrt},'
        f'"machines":[{machines}],"cuda":{gpu}{older}}}'
    )


def _newest(project: str, lines: Sequence[str]) -> Sequence[str]:
    """The files of the newest version that is neither withdrawn nor a pre-release, else of the newest of all."""
    for at in range(len(lines) - 1, -1, -1):
        version = _version(project, lines[at])
        if ',"yanked":false,' in lines[at] and not version_of(version).is_prerelease:
            first = at
            while first and _version(project, lines[first - 1]) == version:
                first -= 1
            return lines[at : first - 1 if first else None : -1]
    return lines[-1:]


def _version(project: str, line: str) -> str:
    begin = len(project) + len('{"project":"","version":"')
    return line[begin : line.index('"', begin)]


def _cut(line: str) -> list[str]:
    """Cut a line into the texts before, between and behind the keys.

    The lines are the publisher's own, with their keys always in this order, and to parse them would take several times
    as long. No string can look like a key: its quotes have backslashes before them.
    """
    found = []
    for key in _KEYS:
        text, _, line = line.partition(key)
        found.append(text)
    return [*found, line]


def _ops(texts: Iterable[str]) -> set[str]:
    """Name, version and namespace of each op, as JSON."""
    return {f"[{','.join(op)}]" for text in texts for op in _OP.findall(text)}


def _listed(ops: Iterable[str]) -> str:
    return ",".join(sorted(ops))
