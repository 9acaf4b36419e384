"""Lock files: `pylock.toml` as https://packaging.python.org/specifications/pylock-toml/ has it, for plugins.

What a lock holds are wheels by hash, so that any tool that reads the standard can install them.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from trtreg._json_table import Table, UnexpectedJSONError
from trtreg.errors import LockFileError, MissingExtraError
from trtreg.packages.attestations import Publisher
from trtreg.packages.settings import public
from trtreg.packages.wheels import Wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trtreg.packages.release import Release
    from trtreg.packages.resolve import Target

__all__ = ["check_name", "read", "render", "write"]

_LARGEST: Final = 1 << 24
# What the standard's module, URLs and paths raise for what is none.
_UNSOUND: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError, RuntimeError)


def check_name(path: str | os.PathLike[str]) -> None:
    """Raise LockFileError for a name that the standard does not have: other tools would not take the file."""
    if not re.fullmatch(r"pylock(\.[^.]+)?\.toml", Path(path).name):
        raise LockFileError("This is no name of a lock file", found=Path(path).name,
                            expected="pylock.toml or pylock.NAME.toml")  # fmt: skip


def write(
    path: str | os.PathLike[str],
    releases: Iterable[Release],
    target: Target,
    sites: Mapping[str, str] | None = None,
    publishers: Mapping[str, Sequence[Publisher]] | None = None,
) -> None:
    """Write the lock, whole or not at all; `sites` has the URL of the index of each project.

    `publishers` are those of each file whose attestations were verified: `sync` will take it from no other.
    """
    from trtreg import output

    check_name(path)
    output.write(path, render(releases, Path(path).parent, target, sites, publishers).encode())


def render(
    releases: Iterable[Release],
    folder: Path,
    target: Target,
    sites: Mapping[str, str] | None = None,
    publishers: Mapping[str, Sequence[Publisher]] | None = None,
) -> str:
    """Make the text of a lock that will lie in `folder`; the same releases give the same text."""
    from packaging.markers import Marker
    from packaging.version import Version

    pylock, toml = _pylock(), _optional("tomli_w")
    here = target.environment
    lock = pylock.Pylock(
        lock_version=Version("1.0"),
        environments=[Marker(f"sys_platform == '{sys.platform}' and platform_machine == '{here.machine}'")],
        created_by="trtreg",
        packages=[
            _package(
                pylock, release, folder, (sites or {}).get(release.project), (publishers or {}).get(release.file, ())
            )
            for release in sorted(releases, key=lambda release: release.project)
        ],
        # For people: TensorRT is no part of the standard's environments. What is installed is judged anew each time.
        tool={"trtreg": {"tensorrt": f"{here.flavour.value} {here.tensorrt_version}"}} if here.flavour else None,
    )
    lock.validate()
    text: str = toml.dumps(lock.to_dict())
    return text


def read(path: str | os.PathLike[str]) -> tuple[Wheel, ...]:
    """Read a lock and select what is for this environment, by project; LockFileError says what is wrong."""
    check_name(path)
    pylock = _pylock()
    try:
        lock = pylock.Pylock.from_dict(_load(Path(path)))
        selected = [*lock.select()]
    except pylock.PylockValidationError as e:
        remedy = "make it anew with `trtreg lock`"
        raise LockFileError(f"{path} breaks the standard of lock files", found=str(e), remedy=remedy) from e
    except pylock.PylockSelectError as e:
        remedy = "make one for this environment with `trtreg lock`"
        raise LockFileError(f"{path} is for another environment", found=str(e), remedy=remedy) from e
    except _UNSOUND as e:
        raise LockFileError(f"{path} breaks the standard of lock files", found=str(e)) from e
    try:
        wheels = [_wheel(path, package, source) for package, source in selected]
    except _UNSOUND as e:  # no URL, no path, no file name of a wheel
        raise LockFileError(f"{path} has a wheel that is none", found=str(e)) from e
    return tuple(sorted(wheels, key=lambda wheel: wheel.project))


def _package(
    pylock: Any, release: Release, folder: Path, site: str | None, publishers: Sequence[Publisher]
) -> Any:  # fmt: skip
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    local = urlsplit(release.url).scheme == "file"
    place = {"path": _relative(release.url, folder)} if local else {"url": public(release.url)}
    return pylock.Package(
        name=release.project,
        version=Version(release.version),
        requires_python=SpecifierSet(release.requires_python) if release.requires_python else None,
        # A file's URL is of this machine only, and its path is given anyhow.
        index=f"{public(site)}simple/" if site and not local else None,
        wheels=[
            pylock.PackageWheel(
                name=release.file,
                upload_time=_time(release.uploaded),
                size=release.size,
                hashes={"sha256": release.sha256},
                **place,
            )
        ],
        attestation_identities=[publisher.to_json() for publisher in publishers] or None,
        tool=_tool(release, folder) if publishers else None,
    )


def _tool(release: Release, folder: Path) -> dict[str, Any]:
    """Where the attestations are, for which the standard has no key: a URL, or a path from the lock."""
    url = str(release.provenance)
    place = _relative(url, folder) if urlsplit(url).scheme == "file" else public(url)
    return {"trtreg": {"provenance": place}}


def _relative(url: str, folder: Path) -> str:
    """The path of a file's URL from the lock: the two may be moved together."""
    return Path(os.path.relpath(unquote(urlsplit(url).path), folder.resolve())).as_posix()


def _time(text: str | None) -> Any:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
    except ValueError:
        return None


def _wheel(path: str | os.PathLike[str], package: Any, source: Any) -> Wheel:
    from packaging.utils import parse_wheel_filename

    name = package.name
    file = getattr(source, "filename", "")
    if not file.endswith(".whl"):
        kind = type(source).__name__.removeprefix("Package").lower()
        raise LockFileError(f"{path}: {name} is no wheel", found=kind, expected="a wheel")
    digest = source.hashes.get("sha256")
    if digest is None:
        raise LockFileError(f"{path}: {file} has no sha256", found=", ".join(source.hashes))
    url = source.url
    if source.path is not None:
        url = _from_path(path, source.path)
    if urlsplit(url).scheme not in {"http", "https", "file"}:
        raise LockFileError(f"{path}: {file} has no usable URL", found=repr(url), expected="https, http or file")
    return Wheel(
        project=name,
        version=str(parse_wheel_filename(file)[1]),
        file=file,
        url=url,
        sha256=digest.lower(),
        size=source.size,
        **_attested(path, package),
    )


def _from_path(lock: str | os.PathLike[str], path: str) -> str:
    return (Path(lock).resolve().parent / path).resolve().as_uri()


def _attested(path: str | os.PathLike[str], package: Any) -> dict[str, Any]:
    """Who must have published the wheel; other tools' locks do not say where that is attested, so nobody there."""
    try:
        tool = Table.root(package.tool or {}, "tool").optional_table("trtreg")
        place = None if tool is None else tool.optional_string("provenance", r"[^\x00-\x1f]{1,2000}")
        if place is None:
            return {}
        publishers = tuple(Publisher.parse(Table.root(one)) for one in package.attestation_identities or ())
        url = place if "://" in place else _from_path(path, place)
        scheme = urlsplit(url).scheme
    except UnexpectedJSONError as e:
        raise LockFileError(f"{path}: {package.name}: {e.message}", found=e.found, expected=e.expected) from None
    except ValueError as e:
        raise LockFileError(f"{path}: {package.name} has no usable provenance", found=str(e)) from None
    if scheme not in {"http", "https", "file"}:
        raise LockFileError(f"{path}: {package.name} has no usable provenance", found=repr(place))
    return {"provenance": url, "publishers": publishers}


def _load(path: Path) -> dict[str, Any]:
    toml = importlib.import_module("tomllib") if sys.version_info >= (3, 11) else _optional("tomli")
    try:
        if path.stat().st_size > _LARGEST:
            raise LockFileError(f"{path} is too large for a lock", found=f"{path.stat().st_size} bytes")
        data: dict[str, Any] = toml.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LockFileError(f"{path} does not exist", remedy="`trtreg lock` makes one") from None
    except OSError as e:
        raise LockFileError(f"{path} cannot be read", found=e.strerror or str(e)) from e
    except (ValueError, RecursionError) as e:
        raise LockFileError(f"{path} is not TOML", found=str(e), remedy="make it anew with `trtreg lock`") from e
    return data


def _pylock() -> Any:
    """The module of packaging for this standard: there since 26.0, with `select` since 26.1."""
    module = _optional("packaging.pylock")
    if not hasattr(module.Pylock, "select"):
        raise _missing("packaging is too old for lock files")
    return module


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        raise _missing(f"lock files need {name}") from e


def _missing(message: str) -> MissingExtraError:
    return MissingExtraError(message, expected="packaging>=26.1 and tomli-w", remedy="pip install 'trtreg[lock]'")
