"""Why a wheel is not taken into the index."""

from __future__ import annotations

__all__ = ["Refusal"]


class Refusal(Exception):  # noqa: N818 - no error of the program: the other wheels go on
    """A wheel is refused; the text completes "FILE is refused: ..."."""
