"""Which plugins autoload may load: all, but for the lists of the configuration file or of the environment.

The file is the one of the indexes (`trtreg.packages.settings`):

    [autoload]
    allow = ["trtplugin-dcnv2"]     # only these
    deny = ["trtplugin-hswish"]     # not these; stronger than allow

TRTREG_AUTOLOAD_ALLOW and TRTREG_AUTOLOAD_DENY, names separated by spaces or commas, each replace the file's list; set
to nothing, they say that there shall be none in it. TRTREG_AUTOLOAD=0 turns autoload off.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from trtreg.discovery import same_name
from trtreg.errors import AutoloadSettingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ALLOW", "DENY", "SWITCH", "Policy", "Refusal", "is_off", "read"]

SWITCH: Final = "TRTREG_AUTOLOAD"
ALLOW: Final = "TRTREG_AUTOLOAD_ALLOW"
DENY: Final = "TRTREG_AUTOLOAD_DENY"

Refusal = Literal["denied", "not-allowed"]

_OFF: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The two lists, of package names; without `allow`, all that are not denied. The origins say where they stand."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    allow_origin: str | None = None
    deny_origin: str | None = None

    def refusal(self, distribution: str) -> Refusal | None:
        """Why the package is not to be loaded, or None."""
        if any(same_name(distribution, name) for name in self.deny):
            return "denied"
        if self.allow is not None and not any(same_name(distribution, name) for name in self.allow):
            return "not-allowed"
        return None


def is_off(environ: Mapping[str, str] | None = None) -> bool:
    """Whether TRTREG_AUTOLOAD turns autoload off."""
    return (os.environ if environ is None else environ).get(SWITCH, "").lower() in _OFF


def read(environ: Mapping[str, str] | None = None) -> Policy:
    """Read the lists. Raises AutoloadSettingError or IndexSettingError for a file that cannot be understood."""
    from trtreg.packages import settings

    environ = os.environ if environ is None else environ
    allow, deny = _listed(environ, ALLOW), _listed(environ, DENY)
    allow_origin, deny_origin = (ALLOW if allow is not None else None), (DENY if deny is not None else None)
    if allow is None or deny is None:
        file = settings.config_file(environ)
        in_file = _in_file(settings.load(file).get("autoload", {}), file)
        if allow is None and "allow" in in_file:
            allow, allow_origin = in_file["allow"], str(file)
        if deny is None and "deny" in in_file:
            deny, deny_origin = in_file["deny"], str(file)
    return Policy(allow=allow, deny=deny or (), allow_origin=allow_origin, deny_origin=deny_origin)


def _listed(environ: Mapping[str, str], variable: str) -> tuple[str, ...] | None:
    value = environ.get(variable)
    return None if value is None else tuple(value.replace(",", " ").split())


def _in_file(table: object, file: Path) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise AutoloadSettingError(f"{file}: 'autoload' is no table", found=repr(table), expected="[autoload]")
    for key, value in table.items():
        if key not in ("allow", "deny"):
            raise AutoloadSettingError(f"{file}: unknown key 'autoload.{key}'", expected="allow or deny")
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            raise AutoloadSettingError(
                f"{file}: unexpected value in 'autoload.{key}'", found=repr(value), expected="an array of package names"
            )
    return {key: tuple(value) for key, value in table.items()}
