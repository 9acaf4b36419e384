"""Parts of wheels as an index sees them. Imports nothing of trtreg: a fuzzer wants to be the first who does."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LIBRARY", "archived", "manifest_of"]

LIBRARY = b"\x7fELF, as far as an index knows"


def manifest_of(
    name: str = "trtplugin-one", version: str = "1.0", op: str = "One", **library: object
) -> dict[str, Any]:
    """Make a manifest; `library` are values of the library's that shall be other ones."""
    return {
        "schema": 1,
        "package": name,
        "version": version,
        "summary": f"{op}, made by a test",
        "tensorrt": {"full": ">=10.0", "rtx": ">=1.7"},
        "library": {
            "file": "libone.so",
            "sha256": hashlib.sha256(LIBRARY).hexdigest(),
            "size": len(LIBRARY),
            "machine": "x86_64",
            "glibc": "2.28",
            "needed": ["libc.so.6"],
            "cuda": "13.0",
            "sms": ["9.0"],
            "ptx": ["12.0"],
            "creators": [
                {
                    "name": op,
                    "version": "1",
                    "namespace": "",
                    "inputs": [1, 2],
                    "outputs": [1, 1],
                    "fields": [
                        {"name": "groups", "type": "int32", "length": 1, "default": [1]},
                        {"name": "group", "type": "int32", "length": 1, "default": [1], "alias_of": "groups"},
                    ],
                }
            ],
            **library,
        },
    }


def archived(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Make an archive of these members, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, compression)
    return buffer.getvalue()
