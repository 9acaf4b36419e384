"""The lock beside an engine, ENGINE.lock.json: what it was built with, and whether that is what is here.

It tells its engine by the plan's hash, so a lock of another engine is never believed. It is no signature: whoever can
change the engine can change the lock. The JSON schema is `schema/engine-lock.schema.json`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from trtreg._json_table import Table, UnexpectedJSONError
from trtreg.engine import UsedPlugin
from trtreg.errors import EngineLockError
from trtreg.manifest import CreatorKey
from trtreg.model import ModelDigest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.engine import Engine
    from trtreg.environment import Environment

__all__ = ["SCHEMA", "SUFFIX", "EngineLock", "Mismatch", "check", "kept", "of", "parse", "path_of", "read", "to_json"]

SCHEMA: Final = 1
SUFFIX: Final = ".lock.json"

_SHA256: Final = r"[0-9a-f]{64}"
_NAME: Final = r"[\s\S]+"
_TEXT: Final = r"[\s\S]*"
_PACKAGES: Final = {"full": "tensorrt", "rtx": "tensorrt-rtx", "lean": "tensorrt-lean"}


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLock:
    """What an engine was built with; `model` is None where the model is not known, `targets` () for TensorRT's choice.

    `plugins` are the packages whose creators the engine uses, each with just those creators.
    """

    plan_sha256: str
    plan_size: int
    flavour: str
    tensorrt_version: str
    plugins: tuple[UsedPlugin, ...] = ()
    targets: tuple[str, ...] = ()
    model: ModelDigest | None = None
    trtreg: str = ""

    @property
    def creators(self) -> tuple[CreatorKey, ...]:
        """All creators that the engine uses, each once."""
        return tuple(sorted({creator for plugin in self.plugins for creator in plugin.creators}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Mismatch:
    """A difference between a lock and what is here; a `hard` one keeps the engine from working for certain.

    `code` is one of "plan", "flavour", "version", "gpu", "creator", "unfit", "package" and "build".
    """

    code: str
    hard: bool
    subject: str
    was: str
    now: str
    remedy: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.subject}: was {self.was}, is {self.now}; {self.remedy}"


def of(engine: Engine) -> EngineLock:
    """Make the lock of an engine that was just built."""
    from trtreg import __version__

    return EngineLock(
        plan_sha256=sha256(engine.plan).hexdigest(),
        plan_size=len(engine.plan),
        flavour=engine.flavour,
        tensorrt_version=engine.tensorrt_version,
        plugins=engine.plugins,
        targets=engine.targets,
        model=engine.model,
        trtreg=__version__,
    )


def path_of(engine: str | os.PathLike[str]) -> str:
    """Where the lock of an engine is written: beside the file itself, where `engine` is a link."""
    return os.path.realpath(engine) + SUFFIX


def read(engine: str | os.PathLike[str]) -> EngineLock | None:
    """Read the lock beside an engine file; None if there is none. EngineLockError names the file."""
    for path in dict.fromkeys((os.fspath(engine) + SUFFIX, path_of(engine))):
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a name is made, not a path taken to pieces
                data = json.load(file)
        except FileNotFoundError:
            continue
        except OSError as e:
            raise EngineLockError(f"cannot read {path}", found=e.strerror or str(e)) from e
        except (ValueError, RecursionError) as e:
            raise EngineLockError(f"{path} is not JSON", found=str(e), remedy=_ANEW) from e
        try:
            return parse(data)
        except EngineLockError as e:
            raise EngineLockError(
                f"{path}: {e.message}", found=e.found, expected=e.expected, remedy=e.remedy or _ANEW
            ) from e
    return None


_ANEW: Final = "build the engine again, or delete the lock"


def kept(engine: str | os.PathLike[str], plan: memoryview) -> bytes | None:
    """The lock that stands beside `engine` as it is, if it is of this very plan; else None."""
    try:
        lock = read(engine)
    except EngineLockError:
        return None
    return to_json(lock).encode() if lock and lock.plan_sha256 == sha256(plan).hexdigest() else None


def check(
    lock: EngineLock, plan: bytes, environment: Environment, plugins: Iterable[InstalledPlugin]
) -> tuple[Mismatch, ...]:
    """Compare a lock with a plan and with this machine: every difference, the hard ones first. Reads nothing.

    Where the plan is another one, the lock tells nothing of it, and that is the only difference that is given.
    """
    digest = sha256(plan).hexdigest()
    if (digest, len(plan)) != (lock.plan_sha256, lock.plan_size):
        was, now = _file(lock.plan_sha256, lock.plan_size), _file(digest, len(plan))
        return (Mismatch(code="plan", hard=True, subject="engine", was=was, now=now, remedy=_ANEW),)
    installed = tuple(plugins)
    found = [*_tensorrt(lock, environment)]
    for used in lock.plugins:
        if not used.embedded:
            found += _plugin(used, environment, installed)
    return tuple(sorted(found, key=lambda mismatch: not mismatch.hard))


def _tensorrt(lock: EngineLock, here: Environment) -> Iterable[Mismatch]:
    was = f"{lock.flavour} {lock.tensorrt_version}"
    package = f"{_PACKAGES.get(lock.flavour, lock.flavour)}=={lock.tensorrt_version}"
    remedy = f"pip install {package}, or build the engine again"
    if here.flavour is None:
        yield Mismatch(code="flavour", hard=True, subject="TensorRT", was=was, now="not installed", remedy=remedy)
        return
    now = f"{here.flavour.value} {here.tensorrt_version}"
    if here.flavour.value != lock.flavour:
        remedy = f"pip install {package} and set TRTREG_TENSORRT={lock.flavour}, or build the engine again"
        yield Mismatch(code="flavour", hard=True, subject="TensorRT", was=was, now=now, remedy=remedy)
        return
    # TensorRT has the last word on versions: some engines are made for later ones too.
    if here.tensorrt_version != lock.tensorrt_version:
        yield Mismatch(code="version", hard=False, subject="TensorRT", was=was, now=now, remedy=remedy)
    if lock.targets and here.gpus and not any(gpu.sm in lock.targets for gpu in here.gpus):
        yield Mismatch(
            code="gpu",
            hard=False,
            subject="GPU",
            was=f"built for {', '.join(lock.targets)}",
            now=", ".join(dict.fromkeys(f"{gpu.name} ({gpu.sm})" for gpu in here.gpus)),
            remedy=f"build the engine again for {here.gpus[0].sm}",
        )


def _plugin(used: UsedPlugin, here: Environment, installed: Sequence[InstalledPlugin]) -> Iterable[Mismatch]:
    from trtreg import discovery, scan

    was = f"{used.package} {used.version}"
    remedy = f"trtreg install {used.package}=={used.version}"
    same = next((p for p in installed if discovery.same_name(p.distribution, used.package)), None)
    absent, misfits, others = [], {}, {}
    for creator in used.creators:
        having = scan.candidates(creator, installed)
        fitting = [plugin for plugin in having if scan.unfitness(plugin, here) is None]
        if not having:
            absent.append(creator)
        elif not fitting:
            misfits[having[0].distribution] = having[0]
        elif same not in fitting:
            others[fitting[0].distribution] = fitting[0]
    if absent:
        now = f"{_release(same)}, which has it not" if same else "no installed plugin that has it"
        subject = f"creator {', '.join(map(str, absent))}"
        yield Mismatch(code="creator", hard=True, subject=subject, was=was, now=now, remedy=remedy)
    for plugin in misfits.values():
        now = f"{_release(plugin)}, which does not fit: {scan.unfitness(plugin, here)}"
        yield Mismatch(code="unfit", hard=True, subject="plugin", was=was, now=now, remedy=remedy)
    for plugin in others.values():
        yield Mismatch(code="package", hard=False, subject="plugin", was=was, now=_release(plugin), remedy=remedy)
    if same and same.manifest and not (absent or misfits or others) and same.manifest.library.sha256 != used.sha256:
        yield Mismatch(
            code="build",
            hard=False,
            subject="plugin",
            was=f"{was} (sha256 {used.sha256[:12]})",
            now=f"{_release(same)} (sha256 {same.manifest.library.sha256[:12]})",
            remedy=remedy if same.version != used.version else f"install the same wheel of {used.package}",
        )


def _release(plugin: InstalledPlugin) -> str:
    return f"{plugin.distribution} {plugin.version}"


def _file(digest: str, size: int) -> str:
    return f"sha256 {digest[:12]} ({size} bytes)"


def to_json(lock: EngineLock) -> str:
    """Write the lock as JSON: the same lock always gives the same text, which ends in a newline."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "trtreg": lock.trtreg,
        "plan": {"sha256": lock.plan_sha256, "size": lock.plan_size},
        "model": None
        if lock.model is None
        else {"sha256": lock.model.sha256, "external_data": lock.model.external_data},
        "tensorrt": {"flavour": lock.flavour, "version": lock.tensorrt_version},
        "targets": lock.targets,
        "plugins": [
            {
                "package": plugin.package,
                "version": plugin.version,
                "sha256": plugin.sha256,
                "embedded": plugin.embedded,
                "creators": [creator._asdict() for creator in plugin.creators],
            }
            for plugin in lock.plugins
        ],
    }
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse(data: object) -> EngineLock:
    """Make a lock of decoded JSON; EngineLockError names the key path, what was found and what was expected."""
    try:
        table = Table.root(data)
        schema = table.integer("schema", minimum=1)
        if schema != SCHEMA:
            raise EngineLockError(
                "Unexpected value in 'schema'", found=str(schema), expected=str(SCHEMA), remedy="upgrade trtreg"
            )
        plan, tensorrt, model = table.table("plan"), table.table("tensorrt"), table.optional_table("model")
        return EngineLock(
            plan_sha256=plan.string("sha256", _SHA256),
            plan_size=plan.integer("size", minimum=0),
            flavour=tensorrt.string("flavour", "|".join(_PACKAGES)),
            tensorrt_version=tensorrt.string("version", r"\S+"),
            plugins=tuple(_used(item) for item in table.tables("plugins")),
            targets=table.strings("targets", r"[1-9][0-9]*\.[0-9]"),
            model=None
            if model is None
            else ModelDigest(sha256=model.string("sha256", _SHA256), external_data=_flag(model, "external_data")),
            trtreg=table.string("trtreg", _TEXT, default=""),
        )
    except UnexpectedJSONError as error:
        raise EngineLockError(error.message, found=error.found, expected=error.expected) from None


def _used(table: Table) -> UsedPlugin:
    return UsedPlugin(
        package=table.string("package", _NAME),
        version=table.string("version", r"\S+"),
        sha256=table.string("sha256", _SHA256 + "|"),  # empty for a package without a manifest
        embedded=_flag(table, "embedded"),
        creators=tuple(
            CreatorKey(
                item.string("name", _NAME), item.string("version", _NAME), item.string("namespace", _TEXT, default="")
            )
            for item in table.tables("creators")
        ),
    )


def _flag(table: Table, key: str) -> bool:
    value = table.value(key, default=False)
    if not isinstance(value, bool):
        raise table.unexpected(key, found=repr(value), expected="true or false")
    return value
