"""Manifests of libraries that tests make."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from trtreg import manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["describe"]


def describe(library: bytes, keys: Sequence[manifest.CreatorKey], name: str = "trtplugin-test") -> manifest.Manifest:
    """Make the manifest of a library."""
    return manifest.Manifest(
        package=name,
        version="1.0",
        summary="made by a test",
        tensorrt={"full": ">=10", "lean": ">=10", "rtx": ">=1.7"},
        library=manifest.Library(
            file="libplugin.so",
            sha256=hashlib.sha256(library).hexdigest(),
            size=len(library),
            machine=os.uname().machine,
            creators=tuple(
                manifest.Creator(name=key.name, version=key.version, namespace=key.namespace) for key in keys
            ),
        ),
    )
