"""Which TensorRT a library was made for, by the libraries that it needs and the interface of its creators. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trtreg.flavour import Flavour

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trtreg.manifest import Interface, Registration

__all__ = ["Conflict", "conflict", "core_library", "is_tensorrt", "specifiers"]

# All that comes with one TensorRT and has its version. The first of each is the one that holds the registry.
_FAMILIES: Final = {
    Flavour.FULL: ("libnvinfer", "libnvinfer_plugin", "libnvinfer_vc_plugin", "libnvonnxparser"),
    Flavour.LEAN: ("libnvinfer_lean", "libnvinfer_vc_plugin"),
    Flavour.RTX: ("libtensorrt_rtx", "libtensorrt_onnxparser_rtx"),
}
_OTHERS: Final = ("libnvinfer_dispatch", "libnvinfer_builder_resource", "libnvparsers")
_ALL: Final = (*_OTHERS, *(name for names in _FAMILIES.values() for name in names))
_NAME: Final = re.compile(rf"({'|'.join(_ALL)})\.so(?:\.(\d+)[\d.]*)?")
_EVERY: Final = {"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"}
_LAST_WITH_V2: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """What a library wants of TensorRT, and what is here, as both are called."""

    wanted: str
    here: str


def is_tensorrt(needed: str) -> bool:
    """Whether a needed library is a part of some TensorRT."""
    return _NAME.fullmatch(needed) is not None


def core_library(flavour: Flavour) -> str:
    """The name, without a version, of the library that holds the flavour's registry."""
    return f"{_FAMILIES[flavour][0]}.so"


def conflict(needed: Iterable[str], interface: Interface | None, flavour: Flavour, version: str) -> Conflict | None:
    """What stands in the way of opening the library in this TensorRT, or None.

    Opening it all the same brings a second TensorRT into the process, or lets the registry follow pointers to objects
    that are laid out in another way: both end in a crash, not in an error.
    """
    major = version.split(".", maxsplit=1)[0]
    here = f"{core_library(flavour)}.{major}"
    for name in needed:
        match = _NAME.fullmatch(name)
        if match and (match[1] not in _FAMILIES[flavour] or match[2] not in {None, major}):
            return Conflict(wanted=name, here=here)
    # Seen with V2 creators in the registry of TensorRT-lean 11.4: to list the creators is a segmentation fault.
    if interface == "v2" and (flavour is Flavour.RTX or int(major) > _LAST_WITH_V2):
        wanted = (
            f"{core_library(Flavour.FULL)}.{_LAST_WITH_V2} or older: the last TensorRT with the V2 plugin interface"
        )
        return Conflict(wanted=wanted, here=here)
    return None


def specifiers(
    needed: Iterable[str], interface: Interface | None, registration: Registration, flavour: Flavour, version: str
) -> dict[str, str]:
    """The TensorRTs that a library is for, as a manifest has them; `flavour` and `version` are where it was tried.

    A library that registers itself calls the registry, whose table of functions is that of one major version (RTX 1.7
    and TensorRT 11 have left out four that TensorRT 10 has). One whose getCreators is asked calls nothing, and the V3
    interface is the same everywhere.
    """
    for name in needed:
        match = _NAME.fullmatch(name)
        members = [member for member, names in _FAMILIES.items() if match and match[1] in names]
        if match and members and match[2]:
            return {member.value: _of_major(member, int(match[2])) for member in members}
    if registration != "dynamic":
        family = (Flavour.RTX,) if flavour is Flavour.RTX else (Flavour.FULL, Flavour.LEAN)
        return {member.value: _of_major(member, int(version.split(".", maxsplit=1)[0])) for member in family}
    if interface == "v2":
        return dict.fromkeys(("full", "lean"), f">={_LAST_WITH_V2}.0,<{_LAST_WITH_V2 + 1}")
    return dict(_EVERY)


def _of_major(flavour: Flavour, major: int) -> str:
    # RTX took no plugins before 1.7.
    return f">={'1.7' if flavour is Flavour.RTX and major == 1 else major},<{major + 1}"
