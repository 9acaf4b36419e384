"""What the rules judge, read from wheels and libraries beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trtreg.flavour import Flavour
    from trtreg.manifest import Interface, Manifest, Registration

__all__ = ["SDK_MARK", "LibraryFacts", "Load", "PackageFacts", "PluginFacts", "Problem", "Undefined", "WheelFacts"]

SDK_MARK: Final = "trtreg_get_face"
"""The function that only a library made with our SDK exports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that stood in the way of reading a part; `where` is that part."""

    where: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Undefined:
    """A symbol that another library has to have; `provider` is the one that its version names."""

    name: str
    version: str | None = None
    provider: str | None = None
    weak: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LibraryFacts:
    """A library as the dynamic linker will see it; with `damage`, nothing but its size and hash is known.

    `path` is its place in the wheel or package. `versions` are the symbol versions that it asks of each library that it
    needs. `undefined` is None where the file does not say which symbols have versions. `fixed` says why the linker will
    never unload it. With `gpu_problem` its GPU code is not known.
    """

    path: str
    sha256: str
    size: int
    damage: str | None = None
    machine: str = ""
    is_shared: bool = True
    soname: str | None = None
    needed: tuple[str, ...] = ()
    exports: frozenset[str] = frozenset()
    undefined: tuple[Undefined, ...] | None = ()
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    glibc: tuple[int, int] | None = None
    run_path: tuple[str, ...] = ()
    executable_stack: bool = False
    relro: bool = True
    bind_now: bool = True
    text_relocations: bool = False
    writable_code: bool = False
    fixed: str | None = None
    sms: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()
    gpu_problem: str | None = None
    interface: Interface | None = None

    @property
    def foreign(self) -> bool:
        """Whether it was made without our SDK."""
        return SDK_MARK not in self.exports


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How a child process that loaded the library into a TensorRT fared; `reason` is why it did not.

    `creators` are as in a manifest's JSON.
    """

    flavour: Flavour
    version: str
    status: Literal["loaded", "failed", "skipped"]
    reason: str | None = None
    remedy: str | None = None
    registration: Registration | None = None
    init: str | None = None
    interface: Interface | None = None
    creators: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginFacts:
    """A plugin library with its manifest; either may be missing.

    `derived` is what the build would write under `library` of the manifest now; keys that could not be derived are
    absent, and `silence` says why the library's own words are.
    """

    library: LibraryFacts | None
    manifest: Manifest | None = None
    manifest_path: str | None = None
    derived: Mapping[str, Any] = field(default_factory=dict)
    silence: str | None = None
    loads: tuple[Load, ...] = ()

    @property
    def where(self) -> str | None:
        """The file that findings about both are about."""
        return self.library.path if self.library else self.manifest_path


@dataclass(frozen=True, kw_only=True, slots=True)
class WheelFacts:
    """A wheel, or what is left of one where it is unpacked or installed (`unpacked`).

    `tags` are "python-abi-platform", one each. `unreadable` says why nothing of it is known; `refusal` why the index
    would not take it.
    """

    file: str
    project: str = ""
    version: str = ""
    tags: tuple[str, ...] = ()
    unpacked: bool = False
    unreadable: str | None = None
    refusal: str | None = None
    names: tuple[str, ...] = ()
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    entry_points: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()
    record: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageFacts:
    """One thing to judge: a wheel, a package on disk, or a library; `path` is what the user called it.

    `companions` are the other libraries in it. `allowed` are what the wheel's platform has besides glibc, with the
    versions of symbols by their prefix ("GLIBCXX"); None where auditwheel was not needed.
    """

    path: str
    kind: Literal["wheel", "package", "library"]
    wheel: WheelFacts | None = None
    plugins: tuple[PluginFacts, ...] = ()
    companions: tuple[LibraryFacts, ...] = ()
    allowed: frozenset[str] | None = None
    symbol_versions: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The oldest glibc that the wheel's tags promise to run with."""
        from trtreg.check.platforms import floor

        return floor(self.wheel.tags) if self.wheel else None
