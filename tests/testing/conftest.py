"""A plugin project that uses every device header, made for the CPU and for TensorRT."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg import discovery, manifest
from trtreg.sdk import compile as compiling
from trtreg.sdk import face, project, toolchain
from trtreg.testing.host import HostPlugin

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE = Path(__file__).parent / "trtplugin-probe"


@pytest.fixture(scope="session")
def on_host() -> Iterator[HostPlugin]:
    plugin = HostPlugin(PROBE)
    yield plugin
    plugin.close()


@pytest.fixture(scope="session")
def library() -> Path:
    """Compile it as a wheel's build does, warnings as errors."""
    return compiling.build(project.read(PROBE, {}), toolchain.find(), report=lambda _: None)


@pytest.fixture(scope="session")
def installed(library: Path, tmp_path_factory: pytest.TempPathFactory) -> discovery.InstalledPlugin:
    """Install it once: a process loads a library once."""
    site = tmp_path_factory.mktemp("site")
    package = site / "trtplugin_probe"
    package.mkdir()
    content = library.read_bytes()
    (package / "libtrtplugin_probe.so").write_bytes(content)
    described = manifest.Manifest(
        package="trtplugin-probe",
        version="0.1.0",
        summary="",
        tensorrt={"rtx": ">=1.7"},
        library=manifest.Library(
            file="libtrtplugin_probe.so",
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            machine=os.uname().machine,
            creators=tuple(
                manifest.Creator(name=each["name"], version="1") for each in face.describe(library)["creators"]
            ),
        ),
    )
    (package / manifest.FILE_NAME).write_text(manifest.to_json(described), encoding="utf-8")
    info = site / "trtplugin_probe-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trtplugin-probe\nVersion: 0.1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[trtreg.plugins]\ntrtplugin-probe = trtplugin_probe\n", encoding="utf-8")
    (found,) = discovery.discover([str(site)])
    return found
