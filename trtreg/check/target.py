"""A machine that is not here, as --against and --sm describe it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trtreg.errors import SettingError
from trtreg.flavour import FLAVOURS, Flavour

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Targets", "parse"]

_FLAVOURS: Final = {flavour.module.replace("_", "-"): flavour for flavour in FLAVOURS}
_OTHERS: Final = ("python", "glibc", "driver", "machine")
_MACHINES: Final = ("x86_64", "aarch64")


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """What to judge against; several of a kind are several machines."""

    tensorrt: tuple[tuple[Flavour, str], ...] = ()
    python: tuple[str, ...] = ()
    glibc: tuple[str, ...] = ()
    driver: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()
    sms: tuple[str, ...] = ()


def parse(against: Iterable[str] = (), sms: Iterable[str] = ()) -> Targets:
    """Read "tensorrt-rtx==1.7" and the like, and compute capabilities; SettingError names what is none."""
    found: dict[str, list[str]] = {name: [] for name in _OTHERS}
    tensorrt = []
    for text in against:
        name, _, version = (part.strip() for part in text.partition("=="))
        name = name.lower().replace("_", "-")
        if name in _FLAVOURS:
            tensorrt.append((_FLAVOURS[name], _version(text, version)))
        elif name == "machine":
            if version not in _MACHINES:
                raise _error(text, f"machine== one of {', '.join(_MACHINES)}")
            found[name].append(version)
        elif name in found:
            found[name].append(_version(text, version, parts=1 if name == "driver" else 2))
        else:
            raise _error(text, f"NAME==VERSION, where NAME is one of {', '.join((*_FLAVOURS, *_OTHERS))}")
    return Targets(
        tensorrt=tuple(tensorrt),
        python=tuple(found["python"]),
        glibc=tuple(found["glibc"]),
        driver=tuple(found["driver"]),
        machine=tuple(found["machine"]),
        sms=tuple(_sm(text) for text in sms),
    )


def _version(text: str, version: str, *, parts: int = 1) -> str:
    # Numbers only: what a machine has is a release.
    if not re.fullmatch(r"\d+(\.\d+)*", version) or version.count(".") + 1 < parts:
        raise _error(text, "a version of numbers after ==, as " + ("2.28" if parts > 1 else "11.4"))
    return version


def _sm(text: str) -> str:
    from trtreg.sdk.arch import Arch

    try:
        arch = Arch.parse(text)
    except ValueError:
        arch = None
    if arch is None or arch.variant:
        raise SettingError("--sm is no compute capability", found=repr(text), expected="one like 8.6 or 12.0")
    return arch.dotted


def _error(text: str, expected: str) -> SettingError:
    return SettingError("--against is not understood", found=repr(text), expected=expected)
