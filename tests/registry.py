"""What TensorRT's plugin registry holds."""

from __future__ import annotations

from typing import Any

from trtreg import flavour
from trtreg.manifest import CreatorKey

__all__ = ["creators", "registered"]


def creators() -> dict[CreatorKey, Any]:
    return {CreatorKey.of(creator): creator for creator in flavour.load().get_plugin_registry().all_creators}


def registered() -> set[CreatorKey]:
    return set(creators())
