"""GPU architectures: compute capabilities as nvcc, people and the manifest write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trtreg.errors import SettingError

__all__ = ["DEFAULT", "Arch", "Targets", "parse_targets"]

_SPELLING = re.compile(r"(?:(?P<number>[1-9][0-9]{1,2})|(?P<major>[1-9][0-9]?)\.(?P<minor>[0-9]))(?P<variant>[af]?)")


@dataclass(frozen=True, order=True, slots=True)
class Arch:
    """A compute capability: 86 for 8.6, and `a` or `f` when its code runs on that chip or family only."""

    number: int
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Arch:
        """Read "86", "8.6" or "9.0a"; raise ValueError for anything else."""
        match = _SPELLING.fullmatch(text)
        if match is None:
            raise ValueError(text)
        number = match["number"] or match["major"] + match["minor"]
        return cls(int(number), match["variant"])

    @property
    def plain(self) -> str:
        """The spelling of nvcc after `sm_` and `compute_`: "86", "90a"."""
        return f"{self.number}{self.variant}"

    @property
    def dotted(self) -> str:
        """The manifest's spelling: "8.6", "9.0a"."""
        return f"{self.number // 10}.{self.number % 10}{self.variant}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """What to compile for: machine code for `sms`, and PTX for newer GPUs from `ptx`. Both ascend."""

    sms: tuple[Arch, ...]
    ptx: tuple[Arch, ...]

    @property
    def nvcc_flags(self) -> tuple[str, ...]:
        """The -gencode options, and a macro such as TRTREG_SM_90A for each chip that has code of its own."""
        real = [f"-gencode=arch=compute_{arch.plain},code=sm_{arch.plain}" for arch in self.sms]
        virtual = [f"-gencode=arch=compute_{arch.plain},code=compute_{arch.plain}" for arch in self.ptx]
        own = [f"-DTRTREG_SM_{arch.plain.upper()}" for arch in self.sms if arch.variant]
        return (*real, *virtual, *own)

    def __str__(self) -> str:
        names = [f"sm_{arch.plain}" for arch in self.sms] + [f"PTX {arch.plain}" for arch in self.ptx]
        return ", ".join(names)


def parse_targets(words: list[str], where: str) -> Targets:
    """Read architectures such as "86", "8.6", "90a" or "12.0+PTX"; raise SettingError that names `where`.

    Without a +PTX there is PTX of the highest architecture that is not bound to one chip.
    """
    sms: set[Arch] = set()
    ptx: set[Arch] = set()
    for word in words:
        text, plus, suffix = word.strip().partition("+")
        try:
            arch = Arch.parse(text if suffix.upper() == ("PTX" if plus else "") else word)
        except ValueError:
            raise SettingError(
                f"{where} has no GPU architecture",
                found=repr(word),
                expected='one like "86", "8.6", "90a" or "120+PTX"',
            ) from None
        sms.add(arch)
        if plus:
            ptx.add(arch)
    if not sms:
        raise SettingError(f"{where} is empty", expected='GPU architectures like "86;90"')
    generic = [arch for arch in sms if not arch.variant]
    return Targets(sms=tuple(sorted(sms)), ptx=tuple(sorted(ptx or {max(generic or sms)})))


DEFAULT = parse_targets(["75", "80", "86", "89", "90", "100", "120"], "the default")
