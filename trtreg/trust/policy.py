"""What the administrator, the user and the environment allow to be loaded and installed.

Each of these may say something, and of every key the most restrictive value that anybody gives counts:

    /etc/trtreg/policy.toml                  for everybody on this machine
    $XDG_CONFIG_HOME/trtreg/policy.toml      for this user (default: ~/.config)
    $TRTREG_POLICY                           a file, for this process
    $TRTREG_TRUST                            "off", "warn" or "strict": the key `mode`, for this process

So nobody can allow what a file above forbids. A key that nobody gives has the default of `Policy`. Nothing is read
before something is loaded or installed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from trtreg.errors import IndexSettingError, PolicyError, PolicyRefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FILE_VARIABLE", "MODE_VARIABLE", "SYSTEM_FILE", "Attestations", "Mode", "Policy", "Trial", "files", "read"]

Mode = Literal["off", "warn", "strict"]
Trial = Literal["off", "new"]
Attestations = Literal["off", "offered", "required"]

SYSTEM_FILE: Final = Path("/etc/trtreg/policy.toml")
FILE_VARIABLE: Final = "TRTREG_POLICY"
MODE_VARIABLE: Final = "TRTREG_TRUST"

# From the least to the most restrictive.
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "mode": ("off", "warn", "strict"),
    "trial": ("off", "new"),
    "attestations": ("off", "offered", "required"),
}
_NUMBERS: Final = {"trial_seconds": (1, 86_400), "trial_memory_mib": (64, 1 << 20)}
_LISTS: Final = {
    "packages": (r"[A-Za-z0-9*][A-Za-z0-9._*-]*", 'names of packages such as "trtplugin-*"'),
    "indexes": (r"(https?|file)://[^\s\x00-\x1f\x7f?#]+", 'URLs of indexes such as "https://plugins.example.com/trt/"'),
    "hashes": (r"[0-9A-Fa-f]{64}", "SHA-256 hashes of libraries, 64 hexadecimal digits each"),
    "publishers": (r"https://[^\s\x00-\x1f\x7f?#*]+", 'publishers such as "https://github.com/OWNER/REPOSITORY"'),
}
_ATTESTING: Final = ("attestations", "publishers", "trusted_root")


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What is allowed. A list of None allows all; an empty one allows nothing.

    `mode` is for the owner and the permissions of a library and its folder: whether they are looked at, told, or
    required. `trial` "new" tries a library in a process of its own before it is loaded for the first time, for
    `trial_seconds` at most and with `trial_memory_mib` (MiB) more memory than TensorRT itself takes. `packages` and
    `indexes` may have `*`, which stands for any characters but a slash. `hashes` are SHA-256 of libraries.
    `attestations` "offered" verifies them where an index offers some; `publishers` may attest. `trusted_root` is a file
    with the keys of the Sigstore instance that they must come from, where that is not the public one.

    `origins` says of each key that is set where it was set. Where several files have a list, the fields hold what all
    of them name; `require_package` and the others ask each file's own list.
    """

    mode: Mode = "warn"
    trial: Trial = "new"
    trial_seconds: int = 60
    trial_memory_mib: int = 4096
    packages: tuple[str, ...] | None = None
    indexes: tuple[str, ...] | None = None
    hashes: tuple[str, ...] | None = None
    attestations: Attestations = "offered"
    publishers: tuple[str, ...] | None = None
    trusted_root: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Policy, ...] = ()

    def require_package(self, distribution: str) -> None:
        """Raise PolicyRefusalError unless packages of this name may be installed and loaded."""
        self._require("packages", distribution, f"The package {distribution} is not allowed")

    def require_index(self, url: str) -> None:
        """Raise PolicyRefusalError unless packages may come from the index whose root is `url`."""
        from trtreg.packages import settings

        self._require("indexes", url, f"The index {settings.public(url)} is not allowed")

    def require_hash(self, sha256: str, owner: str) -> None:
        """Raise PolicyRefusalError unless the library of `owner` (a package's name) with this hash may be loaded."""
        self._require("hashes", sha256, f"The library of {owner} is not allowed", found=f"sha256 {sha256}")

    def _require(self, key: str, value: str, message: str, *, found: str | None = None) -> None:
        for part in self.parts or (self,):
            allowed: tuple[str, ...] | None = getattr(part, key)
            if allowed is not None and not _matches(key, value, allowed):
                origin = part.origins.get(key, "the policy")
                raise PolicyRefusalError(
                    message,
                    found=found,
                    expected=f"one of '{key}' in {origin}: {', '.join(allowed) or 'none at all'}",
                    remedy=f"whoever keeps {origin} may add it there",
                )


def files(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The policy files that count, whether or not they exist, from the system's to the process's own."""
    from trtreg.packages import settings

    environ = os.environ if environ is None else environ
    named = environ.get(FILE_VARIABLE)
    own = settings.config_file(environ).with_name("policy.toml")
    return (SYSTEM_FILE, own, *((Path(named),) if named else ()))


def read(environ: Mapping[str, str] | None = None) -> Policy:
    """Read the policy that holds in this process.

    Raises PolicyError where a file cannot be read, is no TOML, or has a key or a value that means nothing: nothing is
    then loaded or installed.
    """
    environ = os.environ if environ is None else environ
    parts = [_read_file(file) for file in files(environ)[:2]]
    if named := environ.get(FILE_VARIABLE):
        if not Path(named).is_file():
            raise PolicyError(f"{FILE_VARIABLE} names no file", found=repr(named), expected="the path of a policy file")
        parts.append(_read_file(Path(named)))
    if mode := environ.get(MODE_VARIABLE):
        parts.append(_policy({"mode": mode}, MODE_VARIABLE))
    return _combine([part for part in parts if part.origins])


def _read_file(file: Path) -> Policy:
    from trtreg.packages import settings

    try:
        data = settings.load(file)
    except IndexSettingError as error:
        raise PolicyError(error.message, found=error.found, remedy=error.remedy or "mend the file") from error
    return _policy(data, str(file))


def _policy(data: Mapping[str, Any], origin: str) -> Policy:
    """What one source says; `origins` has the keys that it sets."""
    known = (*_CHOICES, *_NUMBERS, *_LISTS, "trusted_root")
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            raise _unknown(key, known, origin)
        values[key] = (_path if key == "trusted_root" else _value)(key, value, origin)
    return Policy(**values, origins=dict.fromkeys(values, origin))


def _value(key: str, value: object, origin: str) -> str | int | tuple[str, ...]:
    if key in _CHOICES:
        if not isinstance(value, str) or value not in _CHOICES[key]:
            raise _wrong(key, value, " or ".join(_CHOICES[key]), origin)
        return value
    if key in _NUMBERS:
        low, high = _NUMBERS[key]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(key, value, f"a whole number from {low} to {high}", origin)
        return value
    pattern, expected = _LISTS[key]
    if not isinstance(value, list):
        raise _wrong(key, value, f"an array of {expected}", origin)
    for member in value:
        if not isinstance(member, str) or re.fullmatch(pattern, member) is None:
            raise _wrong(key, member, expected, origin)
    try:
        return tuple(dict.fromkeys(_normal(key, member) for member in value))
    except ValueError as error:  # brackets in a URL that hold no address
        raise _wrong(key, value, expected, origin) from error


def _path(key: str, value: object, origin: str) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise _wrong(key, value, "the absolute path of a Sigstore trusted root", origin)
    return value


def _combine(parts: list[Policy]) -> Policy:
    """Of each key the most restrictive value that is set."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key in (*_CHOICES, *_NUMBERS):
        rank: Callable[[Any], int] = _CHOICES[key].index if key in _CHOICES else int.__neg__
        setters = [part for part in parts if key in part.origins]
        if setters:
            first = max(setters, key=lambda part: rank(getattr(part, key)))
            values[key], origins[key] = getattr(first, key), first.origins[key]
    for key in _LISTS:
        setters = [part for part in parts if key in part.origins]
        lists = [getattr(part, key) for part in setters]
        if lists:
            members = dict.fromkeys(member for members in lists for member in members)
            values[key] = tuple(member for member in members if all(_matches(key, member, rest) for rest in lists))
            origins[key] = ", ".join(part.origins[key] for part in setters)
    speakers = [part for part in parts if any(key in part.origins for key in _ATTESTING)]
    for part in speakers:
        if part.trusted_root is None:
            continue
        if part is not speakers[0]:
            # With keys of one's own choice anything can be attested.
            first_origin = next(iter(speakers[0].origins.values()))
            raise PolicyError(
                f"{part.origins['trusted_root']} may not set 'trusted_root'",
                found=part.trusted_root,
                expected=f"it in {first_origin}, which is the first to say something of attestations",
            )
        values["trusted_root"], origins["trusted_root"] = part.trusted_root, part.origins["trusted_root"]
    return Policy(**values, origins=origins, parts=tuple(parts))


def _normal(key: str, value: str) -> str:
    """So that two spellings of the same are the same."""
    if key == "packages":
        return re.sub(r"[-_.]+", "-", value).lower()
    if key == "indexes":
        from trtreg.packages import settings

        scheme, separator, rest = settings.public(value).partition("://")
        host, _, path = rest.partition("/")
        path = re.sub(r"(^|/)catalogue\.json$", "", path).strip("/")
        return f"{scheme}{separator}{host.lower()}/{path}{'/' if path else ''}"
    return value.lower() if key == "hashes" else value.rstrip("/")


def _matches(key: str, value: str, allowed: tuple[str, ...]) -> bool:
    # No slash: "https://*.example.com/" shall not allow https://example.org/.example.com/.
    normal = _normal(key, value)
    return any(
        re.fullmatch("[^/]*".join(map(re.escape, _normal(key, pattern).split("*"))), normal) for pattern in allowed
    )


def _unknown(key: str, known: tuple[str, ...], origin: str) -> PolicyError:
    from trtreg._nearest import key_meant

    remedy = key_meant(key, known)
    return PolicyError(f"{origin}: unknown key '{key}'", expected=" or ".join(known), remedy=remedy)


def _wrong(key: str, value: object, expected: str, origin: str) -> PolicyError:
    where = origin if origin == MODE_VARIABLE else f"{origin}: '{key}'"
    return PolicyError(f"{where} has a value that means nothing", found=repr(value), expected=expected)
