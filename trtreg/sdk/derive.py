"""The manifest of a built library: every fact about it is read from the file, or said by the library itself."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtreg import manifest
from trtreg.errors import PluginBuildError
from trtreg.sdk import elf, fatbin
from trtreg.sdk.compile import EXPORTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["derive"]

_TIMEOUT: Final = 120
_LARGEST: Final = 16 << 20  # of what it says, and of what it prints meanwhile
_DESCRIBE: Final = (
    "import json, pathlib, resource, sys; from trtreg.sdk.face import describe; library, answer, most = sys.argv[1:]\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))\n"
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    "pathlib.Path(answer).write_text(json.dumps(describe(library)), encoding='utf-8')"
)
_TAIL: Final = 4096


def derive(
    library: Path,
    *,
    file: str,
    package: str,
    version: str,
    summary: str,
    tensorrt: Mapping[str, str],
    library_dirs: Sequence[Path] = (),
) -> manifest.Manifest:
    """Make the manifest of the library at `library`, which will lie in the package as `file`.

    The library is opened in a child process, which finds what it needs in `library_dirs` too.

    Raises:
        PluginBuildError: it is no plugin library, or cannot be opened.
        ManifestError: what it says of itself does not fit the manifest's schema.
    """
    facts = elf.facts(library)
    missing = [name for name in EXPORTS if name not in facts.exports]
    if missing:
        raise PluginBuildError(
            f"{file} does not export {', '.join(missing)}",
            remedy="end one source with TRTREG_PLUGINS(...) of trtreg/plugin.h",
        )
    described = _describe(library, file, library_dirs)
    code = fatbin.read(library)
    floor = elf.glibc_floor(library)
    data = library.read_bytes()
    return manifest.parse(
        {
            "schema": manifest.SCHEMA,
            "package": package,
            "version": version,
            "summary": summary,
            "tensorrt": dict(tensorrt),
            "library": {
                "file": file,
                "sha256": hashlib.sha256(data).hexdigest(),
                "size": len(data),
                "machine": facts.machine,
                "glibc": None if floor is None else f"{floor[0]}.{floor[1]}",
                "needed": list(facts.needed),
                "cuda": described.get("cuda"),
                "sms": [arch.dotted for arch in code.sms],
                "ptx": [arch.dotted for arch in code.ptx],
                "sdk": {"version": described.get("sdk"), "face_abi": described.get("face_abi")},
                "creators": described.get("creators"),
            },
        }
    )


def _describe(library: Path, file: str, library_dirs: Sequence[Path]) -> dict[str, Any]:
    environ = dict(os.environ)
    # The child must find this very trtreg, however the parent came by it.
    own = str(Path(__file__).parents[2])
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [own, environ.get("PYTHONPATH")]))
    environ["LD_LIBRARY_PATH"] = os.pathsep.join(
        filter(None, [*map(str, library_dirs), environ.get("LD_LIBRARY_PATH")])
    )
    with tempfile.TemporaryDirectory(prefix="trtreg-") as folder:
        # Into files: a library may print what it likes, and as much.
        answer, words = Path(folder) / "answer.json", Path(folder) / "words"
        try:
            with words.open("wb") as said:
                child = subprocess.run(  # noqa: S603 - a list of arguments, no shell
                    [sys.executable, "-c", _DESCRIBE, str(library), str(answer), str(_LARGEST)],
                    cwd=library.parent, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                    check=False, timeout=_TIMEOUT,
                )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise PluginBuildError(f"{file} does not describe itself", found=f"no answer in {_TIMEOUT} s") from None
        if child.returncode != 0:
            # The last line of a traceback is the error; a signal leaves none.
            last = words.read_bytes()[-_TAIL:].decode("utf-8", "replace").strip().rpartition("\n")[2]
            found = last or f"exit code {child.returncode}"
            raise PluginBuildError(f"{file} cannot be opened to describe itself", found=found)
        try:
            described = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise PluginBuildError(f"{file} does not describe itself in JSON", found=str(error)) from None
    if not isinstance(described, dict):
        raise PluginBuildError(f"{file} does not describe itself", found=type(described).__name__, expected="an object")
    return described
