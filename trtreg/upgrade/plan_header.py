"""The first bytes of a serialised engine: which kind of TensorRT made it, and which version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["SIZE", "SOURCE", "PlanHeader", "parse"]

SOURCE: Final = "https://github.com/NVIDIA/TensorRT/blob/release/11.1/samples/common/sampleEngines.cpp"

# trtexec --getPlanVersionOnly (printPlanVersion in SOURCE): a tag, a serialisation version of 32 bits, and at 24 the
# four parts of TensorRT's version, where the serialisation version is 0. TensorRT-RTX 1.7.1 writes the same with a tag
# of its own.
_TAGS: Final = {b"ftrt": "full", b"vtrt": "rtx"}
_VERSION: Final = slice(24, 28)
SIZE: Final = 28


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanHeader:
    """`family` is "full" (TensorRT, whose lean runtime reads it too) or "rtx"; `version` None where it is not known."""

    family: str
    version: str | None


def parse(data: bytes) -> PlanHeader | None:
    """Read the first SIZE bytes; None for a file that is no engine."""
    family = _TAGS.get(data[:4])
    if family is None:
        return None
    if len(data) < SIZE or data[4:8] != bytes(4):
        return PlanHeader(family=family, version=None)
    return PlanHeader(family=family, version=".".join(map(str, data[_VERSION])))
