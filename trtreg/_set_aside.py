"""Creators that give way to a preferred plugin: taken out of the registry before it is loaded, and put back after.

A registry gives up a creator that was registered by itself, as TensorRT's own plugins are and those of a library that
registers itself; of either interface, seen with TensorRT-RTX 1.7.1, TensorRT-lean 10.16 and 11.4. It answers False for
one that came with `load_library`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trtreg.manifest import CreatorKey

__all__ = ["SetAside", "put_back", "take_out"]

_log = logging.getLogger("trtreg.loader")


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAside:
    """A creator that was taken out of the registry; the object is kept, so that it can be put back."""

    key: CreatorKey
    creator: Any


def take_out(registry: Any, creators: Mapping[CreatorKey, Any]) -> tuple[SetAside, ...] | None:
    """Take all of these out of the registry, or none: None where it does not give one of them up."""
    taken: list[SetAside] = []
    for key, creator in creators.items():
        if not registry.deregister_creator(creator):
            put_back(registry, taken)
            return None
        taken.append(SetAside(key=key, creator=creator))
    return tuple(taken)


def put_back(registry: Any, taken: Iterable[SetAside]) -> None:
    """Put them where they were; one whose name somebody else has meanwhile stays out, and that is logged."""
    for one in taken:
        if not registry.register_creator(one.creator, one.key.namespace):
            _log.warning("%s, which was set aside, cannot be put back: its name is taken", one.key)
