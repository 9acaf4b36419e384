"""Wheels for an index, made on the fly: sound ones, and ones that somebody has tampered with."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import zipfile

import pytest
from wheel_files import LIBRARY, archived, manifest_of

from trtreg.index import Publisher, documents, page
from trtreg.index import tree as site_tree


def contents(name="trtplugin-one", version="1.0", *, manifest=None, metadata="", op="One", requires=()):
    """The members of a wheel, but for RECORD; `manifest` None makes one, False makes none."""
    package, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", "Summary: of a test"]
    lines += [f"Requires-Dist: {one}" for one in requires]
    files = {
        f"{package}/__init__.py": b"NAME = 'it works'\n",
        f"{info}/METADATA": ("\n".join(lines) + f"\n{metadata}\n\nA description.\n").encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if manifest is not False:
        files[f"{package}/libone.so"] = LIBRARY
        files[f"{package}/trtplugin.json"] = json.dumps(manifest or manifest_of(name, version, op)).encode()
        files[f"{info}/entry_points.txt"] = f"[trtreg.plugins]\n{name} = {package}\n".encode()
    return files


def pack(path, files, *, record=True, compression=zipfile.ZIP_DEFLATED):
    """Write a wheel with a RECORD."""
    path.parent.mkdir(parents=True, exist_ok=True)
    info = next((name.partition("/")[0] for name in files if name.endswith(".dist-info/METADATA")), None)
    if record and info:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for name, data in files.items():
            if not name.endswith("/"):
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                writer.writerow([name, f"sha256={digest}", len(data)])
        writer.writerow([f"{info}/RECORD", "", ""])
        files = {**files, f"{info}/RECORD": text.getvalue().encode()}
    path.write_bytes(archived(files, compression))
    os.utime(path, (1_790_000_000, 1_790_000_000))
    return path


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def make(wheels):
    """Make a sound wheel."""

    def make(name="trtplugin-one", version="1.0", folder=wheels, tag="py3-none-any", **changes):
        file = f"{name.replace('-', '_')}-{version}-{tag}.whl"
        return pack(folder / file, contents(name, version, **changes))

    return make


@pytest.fixture
def site(tmp_path):
    return tmp_path / "site"


@pytest.fixture
def publisher(site):
    return Publisher(site)


def tree(site):
    """All that readers see, by path."""
    return {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in sorted(site.rglob("*"))
        if path.is_file() and ".trtreg" not in path.parts
    }


def releases(site):
    return json.loads((site / "catalogue.json").read_text(encoding="utf-8"))["releases"]


def write_page(site, config, changes):
    """Bring the page for people up to date, of projects and their lines; also the catalogue, which nobody looks at."""
    (site / site_tree.STATE).mkdir(parents=True, exist_ok=True)
    anew = not page.is_complete(site)
    with site_tree.Stage(site) as stage, documents.Collected(stage, anew=anew, sharded=False) as collected:
        for project, lines in changes:
            collected.add(project, lines)
        gone = collected.stage()
        page.stage(stage, config)
        stage.publish()
    for target in gone:
        site_tree.remove(os.fspath(site), target)
