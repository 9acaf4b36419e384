"""Every failure of trtreg: one root, one class per kind, one exit code per class.

A message says what was found, what was expected and what to do next. Codes 0 to 2 are taken: success, an unforeseen
exception, and argparse's usage error.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

    from trtreg.collision import Collision
    from trtreg.compatibility import Reason
    from trtreg.engine_lock import Mismatch

__all__ = [
    "AlreadyRegisteredError",
    "AmbiguousProviderError",
    "AttestationError",
    "AutoloadHookError",
    "AutoloadSettingError",
    "BuildCancelledError",
    "CatalogueError",
    "CheckFailedError",
    "CheckInputError",
    "CompileError",
    "ConflictingPluginsError",
    "CreatorConflictError",
    "CreatorsMissingError",
    "DownloadError",
    "DownloadMismatchError",
    "EmbeddedCodeError",
    "EngineBuildError",
    "EngineExecutionError",
    "EngineInterfaceError",
    "EngineLockError",
    "EngineMismatchError",
    "EnvironmentLockedError",
    "ExaminationError",
    "FaceError",
    "HashMismatchError",
    "HostCompilerNotFoundError",
    "IncompatiblePluginError",
    "IndexBusyError",
    "IndexDamagedError",
    "IndexPublishError",
    "IndexSettingError",
    "InputTensorError",
    "InstallerError",
    "IsolatedPythonError",
    "LedgerError",
    "LibraryNameError",
    "LoadError",
    "LockFileError",
    "ManifestError",
    "MissingDependencyError",
    "MissingExtraError",
    "ModelError",
    "NoFittingReleaseError",
    "NotAPluginError",
    "NotCachedError",
    "NotOnServerError",
    "NotPublishedError",
    "NotPythonError",
    "NvccNotFoundError",
    "OutputError",
    "PluginBuildError",
    "PolicyError",
    "PolicyRefusalError",
    "PreferenceError",
    "ProblemsFoundError",
    "ProgramNotFoundError",
    "ProjectError",
    "QuarantinedError",
    "SettingError",
    "ShapeError",
    "TLSError",
    "TensorRTNotFoundError",
    "TensorRTUnusableError",
    "ToolFlagsError",
    "TrialError",
    "TrtregError",
    "UnknownArchError",
    "UnknownPackageError",
    "UnknownPluginError",
    "UnsupportedNodesError",
    "UntrustedFileError",
    "UpgradeBreaksError",
    "WheelError",
    "WheelsRefusedError",
    "WrongArchitectureError",
    "WrongTensorRTError",
]


class TrtregError(Exception):
    """Root of all errors that trtreg raises on purpose."""

    exit_code: ClassVar[int] = 3

    def __init__(
        self,
        message: str,
        *,
        found: str | None = None,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        """Join the parts: "message: found X, expected Y; do Z"."""
        facts = [f"{word} {fact}" for word, fact in (("found", self.found), ("expected", self.expected)) if fact]
        text = f"{self.message}: {', '.join(facts)}" if facts else self.message
        return f"{text}; {self.remedy}" if self.remedy else text


class SettingError(TrtregError):
    """An environment variable or an option has a value that means nothing."""

    exit_code = 4


class MissingExtraError(TrtregError):
    """An optional dependency that this step needs is not installed."""

    exit_code = 5


class TensorRTNotFoundError(TrtregError):
    """No TensorRT, or not the one asked for, is installed or can be imported."""

    exit_code = 6


class TensorRTUnusableError(TrtregError):
    """The installed TensorRT has a fault that would end the process and that could not be mended."""

    exit_code = 7


class ProblemsFoundError(TrtregError):
    """`trtreg doctor` found something to mend."""

    exit_code = 8


class ManifestError(TrtregError):
    """A `trtplugin.json` is missing, unreadable or not what the schema says."""

    exit_code = 10


class UnknownPluginError(TrtregError):
    """No installed plugin has the name that was asked for."""

    exit_code = 11


class IncompatiblePluginError(TrtregError):
    """The plugin does not fit this machine; `reasons` holds every reason, not only the first."""

    exit_code = 12

    def __init__(self, message: str, *, reasons: Sequence[Reason] = (), remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.reasons = tuple(reasons)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"- {reason}" for reason in self.reasons)])


class LoadError(TrtregError):
    """TensorRT did not take a plugin library, for a reason that none of the subclasses names."""

    exit_code = 20


class MissingDependencyError(LoadError):
    """The plugin library needs another library that is not on this machine."""

    exit_code = 21


class NotAPluginError(LoadError):
    """The file is no shared library, or one without the entry points of a TensorRT plugin library."""

    exit_code = 22


class AlreadyRegisteredError(LoadError):
    """Another library has registered a creator of the same name, version and namespace."""

    exit_code = 23


class WrongArchitectureError(LoadError):
    """The plugin library was made for another machine."""

    exit_code = 24


class HashMismatchError(LoadError):
    """The plugin library is not the one that its manifest describes."""

    exit_code = 25


class CreatorsMissingError(LoadError):
    """The library was loaded, but creators that its manifest declares did not appear."""

    exit_code = 26


class FaceError(TrtregError):
    """A library has no plain-C face of this version, or its operator refused what it was given."""

    exit_code = 27


class ModelError(TrtregError):
    """The model is no ONNX model, or cannot be read."""

    exit_code = 30


class UnsupportedNodesError(TrtregError):
    """The model has nodes that neither TensorRT nor an installed plugin provides."""

    exit_code = 31


class ShapeError(TrtregError):
    """A shape is missing, malformed or does not go with the model."""

    exit_code = 32


class EngineBuildError(TrtregError):
    """TensorRT could not build, read or save an engine."""

    exit_code = 33


class BuildCancelledError(EngineBuildError):
    """The progress callback asked to stop the build."""

    exit_code = 35


class OutputError(TrtregError):
    """A result could not be written."""

    exit_code = 34


class EngineLockError(TrtregError):
    """The lock beside an engine is missing where it is required, unreadable, or not what the schema says."""

    exit_code = 36


class EngineMismatchError(TrtregError):
    """An engine does not go with its lock, or its lock not with this machine; `mismatches` holds every difference."""

    exit_code = 37

    def __init__(self, message: str, *, mismatches: Sequence[Mismatch] = (), remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.mismatches = tuple(mismatches)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"- {mismatch}" for mismatch in self.mismatches)])


class EmbeddedCodeError(TrtregError):
    """An engine carries a library that would run in this process, and nobody has allowed it."""

    exit_code = 38


class PreferenceError(TrtregError):
    """A preference for a plugin means nothing, or cannot be followed."""

    exit_code = 39


class PluginBuildError(TrtregError):
    """A plugin package could not be built."""

    exit_code = 40


class NvccNotFoundError(PluginBuildError):
    """There is no CUDA compiler."""

    exit_code = 41


class HostCompilerNotFoundError(PluginBuildError):
    """There is no C++ compiler for nvcc to work with."""

    exit_code = 42


class CompileError(PluginBuildError):
    """The compiler refused the sources; the compiler's own words come last."""

    exit_code = 43


class UnknownArchError(PluginBuildError):
    """The CUDA compiler does not know a GPU architecture that was asked for."""

    exit_code = 44


class ProjectError(PluginBuildError):
    """`[tool.trtreg]` of a plugin's pyproject.toml is invalid; the message names the key path."""

    exit_code = 45


class IndexSettingError(TrtregError):
    """The indexes are configured wrongly, or none is configured; the message names the key path."""

    exit_code = 60


class DownloadError(TrtregError):
    """A server could not be reached, answered with an error, was too slow, or broke off."""

    exit_code = 61


class NotOnServerError(DownloadError):
    """The server does not have the file."""

    exit_code = 62


class TLSError(DownloadError):
    """The server's certificate cannot be trusted."""

    exit_code = 63


class DownloadMismatchError(DownloadError):
    """A downloaded file is not the one that was asked for: its hash or size is another."""

    exit_code = 64


class CatalogueError(TrtregError):
    """A catalogue is not what the schema says, or its cache is damaged."""

    exit_code = 65


class NotCachedError(CatalogueError):
    """A catalogue is needed offline, and is not in the cache."""

    exit_code = 66


class UnknownPackageError(TrtregError):
    """No configured index has a plugin package of the name that was asked for."""

    exit_code = 70


class NoFittingReleaseError(TrtregError):
    """There are releases of the plugin package, but none fits the request and this machine."""

    exit_code = 71


class ConflictingPluginsError(TrtregError):
    """Two plugin packages would register the same creator."""

    exit_code = 72


class AmbiguousProviderError(TrtregError):
    """Several plugin packages provide an op, and nothing says which one to take."""

    exit_code = 73


class InstallerError(TrtregError):
    """Neither uv nor pip can install here, or the one that was run failed; its own last words come with it."""

    exit_code = 74


class EnvironmentLockedError(TrtregError):
    """Packages cannot be installed into this Python environment: it is managed by others, or read-only."""

    exit_code = 75


class WheelError(TrtregError):
    """A wheel is not what the index or the lock file says of it."""

    exit_code = 76


class LockFileError(TrtregError):
    """A `pylock.toml` is unreadable, breaks its standard, or is for another environment."""

    exit_code = 77


class AutoloadSettingError(TrtregError):
    """`[autoload]` of the configuration file is invalid; the message names the key."""

    exit_code = 80


class AutoloadHookError(TrtregError):
    """The hook of `trtreg autoload` cannot be written, or taken away, or has no effect in this environment."""

    exit_code = 81


class NotPythonError(TrtregError):
    """`trtreg run` was given a program that is not written in Python."""

    exit_code = 82


class IsolatedPythonError(TrtregError):
    """`trtreg run` was given a Python with an option that keeps its hook out."""

    exit_code = 83


class ProgramNotFoundError(TrtregError):
    """`trtreg run` found no such program, or could not start it."""

    exit_code = 84


class InputTensorError(TrtregError):
    """A tensor given to an engine is missing or unknown, or has the wrong type, shape or device."""

    exit_code = 93

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"- {problem}" for problem in self.problems)])


class EngineInterfaceError(TrtregError):
    """An engine has an input or output of a type or memory layout that PyTorch has not."""

    exit_code = 94


class EngineExecutionError(TrtregError):
    """TensorRT could not run an engine, or not capture it as a CUDA graph."""

    exit_code = 95


class ToolFlagsError(TrtregError):
    """A tool cannot be told to load these plugins; the message says what to do instead."""

    exit_code = 85


class UpgradeBreaksError(TrtregError):
    """`trtreg upgrade-check` found something that would not work with the other TensorRT."""

    exit_code = 90


class IndexPublishError(TrtregError):
    """The index could not be published."""

    exit_code = 50


class WheelsRefusedError(IndexPublishError):
    """Wheels were refused, each by name; the rest was published."""

    exit_code = 51


class IndexBusyError(IndexPublishError):
    """Another publisher is at work on the index."""

    exit_code = 52


class IndexDamagedError(IndexPublishError):
    """`trtreg index check` found files that are missing, changed or not the index's own."""

    exit_code = 53


class NotPublishedError(IndexPublishError):
    """The index has no such project or release."""

    exit_code = 54


class LedgerError(IndexPublishError):
    """The publisher's ledger is unreadable, or of another version of trtreg."""

    exit_code = 55


class WrongTensorRTError(LoadError):
    """The plugin library is for another TensorRT: another kind or major version, or an interface that has gone."""

    exit_code = 86


class ExaminationError(TrtregError):
    """A finished library registers no creator, or the process that tried it died."""

    exit_code = 87


class LibraryNameError(TrtregError):
    """The name for a library is invalid, taken, or not that of an added one."""

    exit_code = 88


class PolicyError(TrtregError):
    """A policy file or variable means nothing; the message names the key."""

    exit_code = 100


class PolicyRefusalError(TrtregError):
    """A policy forbids it; the message names the file that does."""

    exit_code = 101


class QuarantinedError(LoadError):
    """The library's trial in a process of its own ended badly, so it is not loaded."""

    exit_code = 102


class AttestationError(TrtregError):
    """A wheel's attestation does not verify, is another publisher's than the expected one, or is lacking."""

    exit_code = 103


class UntrustedFileError(LoadError):
    """Others may write to the library or its folder, and the policy is strict."""

    exit_code = 105


class TrialError(LoadError):
    """A library must be tried in a process of its own, and no such process can be had here."""

    exit_code = 106


class CreatorConflictError(AlreadyRegisteredError):
    """Plugins that are needed cannot be loaded together; `collisions` holds every creator that several have."""

    exit_code = 104

    def __init__(self, message: str, *, collisions: Sequence[Collision] = (), remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.collisions = tuple(collisions)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"- {collision}" for collision in self.collisions)])


class CheckFailedError(TrtregError):
    """`trtreg check` found errors."""

    exit_code = 110


class CheckInputError(TrtregError):
    """`trtreg check` was given nothing that it could check."""

    exit_code = 111
