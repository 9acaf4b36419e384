"""What an upgrade check finds, and the TensorRT that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from packaging.version import InvalidVersion, Version

from trtreg.errors import SettingError

if TYPE_CHECKING:
    from trtreg.flavour import Flavour

__all__ = ["Finding", "Kind", "Target"]

Kind = Literal["plugin", "model", "engine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that would not work any more, or (where not `breaks`) that a later release may end.

    `subject` is a package's name or a file's path. `replacements` are releases in catalogues, as "name version (index
    NAME)". `source` is where the rule is documented.
    """

    kind: Kind
    subject: str
    breaks: bool
    code: str
    text: str
    remedy: str
    source: str | None = None
    replacements: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The TensorRT to upgrade to; its version has as many parts as the user gave."""

    flavour: Flavour
    version: str

    def __post_init__(self) -> None:
        try:
            parsed = Version(self.version)
        except InvalidVersion:
            parsed = None
        if parsed is None or parsed.local or parsed.epoch:
            raise SettingError("Unknown version of TensorRT", found=self.version, expected="a version, such as 11.4")

    @property
    def title(self) -> str:
        """The name of the Python module, and the version."""
        return f"{self.flavour.module} {self.version}"

    @property
    def major(self) -> int:
        """The first part of the version."""
        return Version(self.version).major

    def is_at_least(self, version: str) -> bool:
        """Whether the target is that version or a newer one."""
        return Version(self.version) >= Version(version)

    def covers(self, version: str) -> bool:
        """Whether `version` may be the target: its first parts are those that the user gave."""
        wanted = Version(self.version).release
        return Version(version).release[: len(wanted)] == wanted
