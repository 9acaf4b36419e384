"""A wheel of a finished library: the same as a plugin package's, without its sources."""

from __future__ import annotations

import re
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trtreg import _library_file, manifest
from trtreg.errors import MissingExtraError, OutputError
from trtreg.foreign import describe as describing
from trtreg.foreign import examine as examining
from trtreg.foreign import linkage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trtreg.flavour import InstalledTensorRT
    from trtreg.sdk.wheel import Wheel

__all__ = ["EXTERNAL", "wrap"]

_GROUP: Final = "trtreg.plugins"
EXTERNAL: Final = (
    # TensorRT itself: a second one in a process has a registry of its own.
    *("libnvinfer*.so*", "libnvonnxparser.so*", "libnvparsers.so*", "libtensorrt_*.so*"),
    # The driver's.
    *("libcuda.so*", "libnvidia-*.so*", "libnvcuvid.so*"),
    # CUDA's, which are large, shared with frameworks, and packages of their own.
    *("libcudart.so*", "libcublas*.so*", "libcudnn*.so*", "libcufft*.so*", "libcurand.so*", "libcusolver*.so*"),
    *("libcusparse*.so*", "libnvrtc*.so*", "libnvJitLink.so*", "libnccl.so*", "libnpp*.so*", "libcupti.so*"),
)
"""What a wheel does not take in: the machine has it, or the user installs it."""


def wrap(
    library: Path,
    output: Path,
    *,
    name: str,
    version: str,
    summary: str = "",
    init: str | None = None,
    tensorrt: Mapping[str, str] | None = None,
    chosen: InstalledTensorRT | None = None,
) -> tuple[Path, manifest.Manifest]:
    """Make a wheel called `name` of the library, in the folder `output`; gives its path and its manifest.

    The library is examined as `trtreg add` does. If it needs more than glibc, auditwheel judges it and takes in what
    not every Linux has, but for `EXTERNAL`; the result is then examined again.

    Raises:
        MissingExtraError: auditwheel is needed and not installed.
        PluginBuildError: auditwheel refuses the library.
        OutputError: the wheel cannot be written.
        WrongTensorRTError, NotAPluginError, LoadError, ExaminationError: see `examine`.
        LibraryNameError, SettingError, ManifestError: see `describe`.
    """
    from trtreg.sdk import repair, sbom

    examination = examining.examine(library, init=init, tensorrt=chosen)
    described = describing.describe(examination, name=name, version=version, summary=summary, tensorrt=tensorrt)
    package = describing.normalised(name).replace("-", "_")
    raw = _wheel(examination.library, described, package)
    machine = described.library.machine
    with tempfile.TemporaryDirectory(prefix="trtreg-") as folder:
        scratch = Path(folder)
        if repair.is_needed(described.library.needed):
            _require_auditwheel(described.library.needed)
            siblings = [examination.library.parent]
            made = repair.repair(raw, machine, siblings, scratch, _external(described.library.needed))
            inside = made.unpack(scratch / "unpacked") / package / described.library.file
            if _hash(inside) != described.library.sha256:
                examination = examining.examine(inside, init=examination.style.init, tensorrt=examination.tensorrt)
                described = describing.describe(
                    examination, name=name, version=version, summary=summary, tensorrt=tensorrt or described.tensorrt
                )
        else:
            made = raw.with_tag(repair.manylinux_tag(_floor(described), machine))
        made = made.with_files({f"{package}/{manifest.FILE_NAME}": manifest.to_json(described).encode()})
        return _write(sbom.with_sbom(made, described, parts=None, tools=[sbom.own_tool()]), output), described


def _wheel(library: Path, described: manifest.Manifest, package: str) -> Wheel:
    from packaging.version import Version

    from trtreg.sdk.wheel import Wheel

    version = str(Version(described.version))
    info = f"{package}-{version}.dist-info"
    summary = " ".join(described.summary.split()) or f"The TensorRT plugin library {described.library.file}"
    metadata = {
        "Metadata-Version": "2.1",
        "Name": described.package,
        "Version": described.version,
        "Summary": summary,
        "Requires-Python": ">=3.10",
        "Requires-Dist": "trtreg>=0.1",
    }
    doc = f'"""The TensorRT plugin library {described.library.file}, packaged by `trtreg wrap`."""\n'
    files = {
        f"{package}/__init__.py": doc,
        f"{info}/METADATA": "".join(f"{key}: {value}\n" for key, value in metadata.items()),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: trtreg\nRoot-Is-Purelib: false\n",
    }
    contents = {path: text.encode("utf-8") for path, text in files.items()}
    contents[f"{package}/{described.library.file}"] = library.read_bytes()
    contents[f"{package}/{manifest.FILE_NAME}"] = manifest.to_json(described).encode("utf-8")
    wheel = Wheel(stem=f"{package}-{version}", tag="py3-none-any", files=contents)
    return wheel.with_entry_point(_GROUP, described.package, package)


def _external(needed: Iterable[str]) -> tuple[str, ...]:
    """The patterns, and whatever else of TensorRT the library itself names."""
    return (*EXTERNAL, *(name for name in needed if linkage.is_tensorrt(name)))


def _require_auditwheel(needed: Iterable[str]) -> None:
    if find_spec("auditwheel") is None:
        raise MissingExtraError(
            "auditwheel has to judge a library that needs more than glibc, and is not installed",
            found=f"it needs {', '.join(needed)}",
            remedy="pip install 'trtreg[build]'",
        )


def _floor(described: manifest.Manifest) -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d+)\.(\d+)", described.library.glibc or "")
    return (int(match[1]), int(match[2])) if match else None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return _library_file.sha256(file)


def _write(made: Wheel, output: Path) -> Path:
    from trtreg import output as outputs

    with tempfile.TemporaryDirectory(prefix="trtreg-") as folder:
        finished = made.write(Path(folder))
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {output}", found=error.strerror, remedy="choose another folder") from error
        outputs.write(output / finished.name, finished.read_bytes())
        return output / finished.name
