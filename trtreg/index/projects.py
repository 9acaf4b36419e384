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
_OP: Final = re.compile(rf'\{{"name":({_STRING}),"version":({_STRING}),"namespace":({_STRING})')


def shard_of(project: str) -> str:
    """The shard of a project: the last byte of the CRC-32 of its name."""
    return f"{zlib.crc32(project.encode()) & 0xFF:02x}"


def line(project: str, lines: Sequence[str]) -> str:
    """Sum up the lines that the catalogue has of a project."""
    newest = _newest(lines)
    first = newest[0]
    version = _between(first, ',"version":', ',"file":')
    yanked = _between(first, ',"yanked":', ',"status":')
    status = _between(first, ',"status":', ",")
    summary = _between(first, ',"summary":', ',"requires":')
    tensorrt = _between(first, ',"tensorrt":', ',"machine":')
    gpu = _between(first, ',"cuda":', ',"ops":')  # with "sms" and "ptx"
    ops = _ops(newest)
    tail = first[first.index(',"ops":[') :]
    others = () if all(one.endswith(tail) for one in lines) else _ops(lines) - ops
    older = f',"older_ops":[{_listed(others)}]' if others else ""
    machines = ",".join(sorted({_between(one, ',"machine":', ',"glibc":') for one in newest}))
    return (
        f'{{"project":"{project}","version":{version},"summary":{summary},"status":{status},"yanked":{yanked},'
        f'"files":{len(lines)},"shard":"{shard_of(project)}","ops":[{_listed(ops)}],"tensorrt":{tensorrt},'
        f'"machines":[{machines}],"cuda":{gpu}{older}}}'
    )


def _newest(lines: Sequence[str]) -> Sequence[str]:
    """The files of the newest version that is neither withdrawn nor a pre-release, else of the newest of all."""
    for at in range(len(lines) - 1, -1, -1):
        same = lines[at][: lines[at].index(',"file":') + 1]  # {"project":"...","version":"...",
        if ',"yanked":false,' in lines[at] and not version_of(same[same.rindex(":") + 2 : -2]).is_prerelease:
            first = at
            while first and lines[first - 1].startswith(same):
                first -= 1
            return lines[at : first - 1 if first else None : -1]
    return lines[-1:]


def _between(line: str, key: str, end: str) -> str:
    """Cut the text of a value out of a line.

    The lines are the publisher's own, with their keys always in this order, and to parse them would take several times
    as long. No string can look like a key: its quotes have backslashes before them.
    """
    begin = line.index(key) + len(key)
    return line[begin : line.index(end, begin)]


def _ops(lines: Iterable[str]) -> set[str]:
    """Name, version and namespace of each op, as JSON."""
    found: set[str] = set()
    text = ""
    for line in lines:
        if not text or not line.endswith(text):  # most releases of a project have the same
            text = line[line.index(',"ops":[') :]
            found.update([f"[{name},{version},{namespace}]" for name, version, namespace in _OP.findall(text)])
    return found


def _listed(ops: Iterable[str]) -> str:
    return ",".join(sorted(ops))
