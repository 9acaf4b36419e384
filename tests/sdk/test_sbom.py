"""The bill of materials in a wheel, judged by CycloneDX's own schema."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from trtreg import manifest
from trtreg.sdk import sbom, wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trtreg.sdk.toolchain import Toolchain

LICENSED = "license = 'MIT'\n"
USE = "int foreign(); int still();\n__attribute__((constructor)) void use() { foreign(); still(); }\n"


def read(path: Path) -> dict[str, Any]:
    """The one bill of ours, validated."""
    made = wheel.read(path)
    text = made.files[f"{made.dist_info}/sboms/trtreg.cdx.json"].decode("ascii")
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    problem = validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(text)
    assert problem is None, problem
    found: dict[str, Any] = json.loads(text)
    refs = [one["bom-ref"] for one in (found["metadata"]["component"], *found["components"])]
    refs += [one["bom-ref"] for one in found["metadata"]["tools"]["components"]]
    assert len(refs) == len(set(refs))
    assert {one for edge in found["dependencies"] for one in (edge["ref"], *edge.get("dependsOn", ()))} <= set(refs)
    return found


def test_what_a_build_lists(
    make_project: Callable[..., Path], build_wheel: Callable[..., Path], tools: Toolchain, tmp_path: Path
) -> None:
    root = make_project()
    project = root / "pyproject.toml"
    project.write_text(project.read_text().replace("[tool.trtreg]", f"{LICENSED}[tool.trtreg]"), encoding="utf-8")
    path = build_wheel(root)
    found = read(path)
    assert found["specVersion"] == "1.6"
    assert found["metadata"]["component"] == {
        "type": "library",
        "bom-ref": "pkg:pypi/trtplugin-tiny@1.2",
        "name": "trtplugin-tiny",
        "version": "1.2",
        "description": "A plugin for tests",
        "licenses": [{"expression": "MIT"}],
        "purl": "pkg:pypi/trtplugin-tiny@1.2",
    }
    parts = {one["name"]: one for one in found["components"]}
    library, described = facts(path)
    own = parts["libtrtplugin_tiny.so"]
    assert own["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(library).hexdigest()}]
    listed = [(one["name"], one["value"]) for one in own["properties"]]
    assert ("trtreg:sm", "9.0") in listed
    assert [value for name, value in listed if name == "trtreg:needed"] == [*described.library.needed]
    assert ("trtreg:creator", str(described.library.creators[0].key)) in listed
    assert parts["cudart_static"]["version"] == "13.0"
    cudart = hashlib.sha256(tools.nvcc.cudart.read_bytes()).hexdigest()
    assert parts["cudart_static"]["hashes"] == [{"alg": "SHA-256", "content": cudart}]
    said = subprocess.run([tools.cxx.path, "-dumpfullversion"], capture_output=True, text=True, check=True).stdout
    assert parts["libstdc++"]["version"] == parts["libgcc"]["version"] == said.strip()
    assert parts["trtreg-sdk"]["version"] == "0.1.0"
    made_by = {one["name"]: one.get("version") for one in found["metadata"]["tools"]["components"]}
    assert made_by["nvcc"] == tools.nvcc.version
    assert said.strip() in made_by.values()
    for text in (str(tmp_path), str(tools.nvcc.path)):
        assert text not in json.dumps(found), "nothing of the machine"


def facts(path: Path) -> tuple[bytes, manifest.Manifest]:
    files = wheel.read(path).files
    return files["trtplugin_tiny/libtrtplugin_tiny.so"], manifest.parse(
        json.loads(files["trtplugin_tiny/trtplugin.json"])
    )


def test_libraries_of_others(
    make_project: Callable[..., Path], build_wheel: Callable[..., Path], foreign_library: Path, tools: Toolchain
) -> None:
    """One is taken into the wheel, another is linked statically."""
    folder = foreign_library.parent
    command = [tools.cxx.path, "-c", "-fPIC", "-x", "c++", "-", "-o", folder / "still.o"]
    subprocess.run(command, input="int still() { return 1; }", text=True, check=True)
    subprocess.run(["ar", "rcs", folder / "libstill.a", folder / "still.o"], check=True)
    settings = f"library-dirs = ['{folder}']\nlibraries = ['foreign', 'still']\n"
    path = build_wheel(make_project(settings, {"native/use.cpp": USE}))
    parts = {one["name"]: one for one in read(path)["components"]}
    files = wheel.read(path).files
    ((place, data),) = [(name, data) for name, data in files.items() if "libforeign" in name]
    taken = parts[place.rpartition("/")[2]]
    assert taken["properties"] == [{"name": "trtreg:path", "value": place}]
    assert taken["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(data).hexdigest()}]
    assert "libforeign.a" not in parts
    archive = hashlib.sha256((folder / "libstill.a").read_bytes()).hexdigest()
    assert parts["libstill.a"]["hashes"] == [{"alg": "SHA-256", "content": archive}]
    # auditwheel has changed the library since it was linked; what is listed is what is in the wheel.
    library, _ = facts(path)
    own = parts["libtrtplugin_tiny.so"]
    assert own["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(library).hexdigest()}]


def test_a_library_that_others_have_finished(tmp_path: Path) -> None:
    """Of what it is made of nothing is known, and that is said."""
    library = manifest.Library(file="libx.so", sha256="ab" * 32, size=1, machine="x86_64")
    described = manifest.Manifest(package="My_Plugin", version="1.0+cu13", library=library)
    info = "my_plugin-1.0+cu13.dist-info"
    files = {
        f"{info}/WHEEL": b"Wheel-Version: 1.0\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: My_Plugin\nVersion: 1.0+cu13\nLicense: Proprietary\n",
        "my_plugin/libx.so": b"x",
    }
    bare = wheel.Wheel(stem="my_plugin-1.0+cu13", tag="py3-none-any", files=files)
    made = sbom.with_sbom(bare, described, parts=None, tools=[sbom.own_tool()])
    found = read(made.write(tmp_path))
    assert found["compositions"] == [{"aggregate": "unknown", "assemblies": ["file:libx.so"]}]
    assert found["metadata"]["component"]["licenses"] == [{"license": {"name": "Proprietary"}}]
    assert found["metadata"]["component"]["purl"] == "pkg:pypi/my-plugin@1.0%2Bcu13"
    other = sbom.with_sbom(bare, described, parts=None, tools=[sbom.own_tool()])
    assert other == made
    changed = manifest.Manifest(package="My_Plugin", version="1.0", library=library)
    assert sbom.with_sbom(bare, changed, parts=None, tools=[]).files != made.files


@pytest.mark.parametrize(
    ("account", "version"),
    [
        ("g++ (Debian 12.2.0-14+deb12u1) 12.2.0 x86_64-linux-gnu", "12.2.0"),
        ("g++ (GCC) 14.2.1 20250110 (Red Hat 14.2.1-7) x86_64-redhat-linux", "14.2.1"),
        ("clang version 19.1.7 x86_64-pc-linux-gnu", "19.1.7"),
        ("Debian clang version 14.0.6 x86_64-pc-linux-gnu", "14.0.6"),
        ("some compiler", None),
    ],
)
def test_the_version_in_a_compilers_account_of_itself(account: str, version: str | None) -> None:
    assert sbom._number(account) == version
