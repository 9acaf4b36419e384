"""TensorRT's error messages without what only its developers need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trtreg.flavour import Message

__all__ = ["errors", "readable"]

# The parser logs each failure in pieces, which its own list of errors has too.
_PIECES = re.compile(r"ModelImporter\.cpp:\d+: (While parsing node|--- |ERROR: |$)|\(deserialize")
_NOISE = (
    # Said where there is no driver, about whatever else went wrong.
    r"\[checkMacros\.cpp::catchCudaError::\d+\] [^\n]*cudaError 35[^\n]*",
    r"^[A-Za-z]+\.(?:cpp|hpp|h):\d+: ",
    r"In node -?\d+ with name: [^\n]*? and operator: [^\n]*? \(\w+\): \w+: ",
    r" In \S+ at /_src/\S+?(?=\)|\s|$)",
    r"^Assertion failed: ",
)


def readable(text: str) -> str:
    """Give the message in one line; it may be empty."""
    if _PIECES.match(text):
        return ""
    for noise in _NOISE:
        text = re.sub(noise, "", text.strip())
    return " ".join(text.split())


def errors(said: Iterable[Message]) -> list[str]:
    """The readable errors among messages, each once."""
    texts = (readable(message.text) for message in said if message.severity in {"error", "internal_error"})
    return [text for text in dict.fromkeys(texts) if text]
