"""What tells creators apart. `trtreg.manifest` gives it on, but imports it late: it needs `typing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CreatorKey"]


class CreatorKey(NamedTuple):
    """What TensorRT's registry tells creators apart by."""

    name: str
    version: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}::{self.name} {self.version}" if self.namespace else f"{self.name} {self.version}"

    @classmethod
    def of(cls, creator: Any) -> CreatorKey:
        """The key of a creator in TensorRT's registry."""
        return cls(creator.name, creator.plugin_version, creator.plugin_namespace)

    @staticmethod
    def listed(keys: Iterable[CreatorKey]) -> str:
        """Several of them as text, in order."""
        return ", ".join(str(key) for key in sorted(keys))
