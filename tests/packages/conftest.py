"""Real environments to install into, and an index with tiny plugin wheels, made on the fly."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trtreg import __version__, manifest
from trtreg.manifest import CreatorKey

ROOT = Path(__file__).resolve().parent.parent.parent
TENSORRT = "1.7.1"


def pack(folder, name, version, files, requires=(), entry_points="", requires_python=None):
    """Make a wheel of these files."""
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {text}" for text in requires]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    content = {
        **files,
        f"{stem}.dist-info/METADATA": "\n".join([*lines, ""]),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry_points:
        content[f"{stem}.dist-info/entry_points.txt"] = entry_points
    record = []
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in content.items():
            raw = data if isinstance(data, bytes) else data.encode()
            archive.writestr(zipfile.ZipInfo(file, (2026, 1, 1, 0, 0, 0)), raw)
            digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
            record.append(f"{file},sha256={digest},{len(raw)}\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "".join([*record, f"{stem}.dist-info/RECORD,,\n"]))
    return path


def described(name, version, library, ops, tensorrt):
    return manifest.Manifest(
        package=name,
        version=version,
        tensorrt=tensorrt,
        library=manifest.Library(
            file="libplugin.so",
            sha256=hashlib.sha256(library).hexdigest(),
            size=len(library),
            machine=os.uname().machine,
            creators=tuple(manifest.Creator(name=key.name, version=key.version) for key in ops),
        ),
    )


@dataclass
class Market:
    """An index of plugins: the site, with a catalogue that this writes, as `trtreg index build` does."""

    folder: Path
    lines: list = field(default_factory=list)

    def add(self, name, version, *ops, tensorrt=">=1.7", requires=(), library=None, entry_points=None, **changes):
        """Publish a plugin wheel; `changes` go into the catalogue."""
        keys = [CreatorKey(op, "1") for op in ops]
        library = f"{name} {version}".encode() if library is None else library
        made = described(name, version, library, keys, {"rtx": tensorrt})
        module = name.replace("-", "_")
        files = {
            f"{module}/__init__.py": "raise RuntimeError('imported')\n",
            f"{module}/libplugin.so": library,
            f"{module}/{manifest.FILE_NAME}": manifest.to_json(made),
        }
        entry = f"[trtreg.plugins]\n{name} = {module}\n" if entry_points is None else entry_points
        wheel = pack(self.folder / "files" / name, name, version, files, requires, entry)
        line = {
            "project": name,
            "version": version,
            "summary": "made by a test",
            "file": wheel.name,
            "url": f"files/{name}/{wheel.name}",
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "size": wheel.stat().st_size,
            "uploaded": "2026-11-21T03:00:00Z",
            "requires_python": ">=3.10",
            "requires": [*requires],
            "yanked": False,
            "status": "active",
            "tensorrt": {"rtx": tensorrt},
            "machine": os.uname().machine,
            "glibc": None,
            "cuda": None,
            "sms": [],
            "ptx": [],
            "ops": [{"name": k.name, "version": k.version, "namespace": "", "fields": []} for k in keys],
            **changes,
        }
        self.lines.append(line)
        self.save()
        return wheel

    def save(self):
        ordered = sorted(self.lines, key=lambda line: (line["project"], line["version"]))
        rows = ",\n".join(json.dumps(line, separators=(",", ":")) for line in ordered)
        text = f'{{"schema": 1, "releases": [\n{rows}\n]}}\n'
        (self.folder / "catalogue.json").write_text(text, encoding="utf-8")

    @property
    def url(self):
        return f"{self.folder.as_uri()}/"


class Simple:
    """An index for pip and uv only, such as PyPI."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "simple").mkdir(parents=True)

    def add(self, name, version, files=None, requires=()):
        content = {f"{name.replace('-', '_')}.py": "", **(files or {})}
        place = self.folder / "simple" / name
        pack(place, name, version, content, requires)
        links = "".join(f'<a href="{wheel.name}">{wheel.name}</a>\n' for wheel in sorted(place.glob("*.whl")))
        (place / "index.html").write_text(f"<!DOCTYPE html><html><body>\n{links}</body></html>", encoding="utf-8")


@dataclass
class Room:
    """An environment, and trtreg run in it."""

    folder: Path
    environ: dict
    templates: frozenset = frozenset()

    def __post_init__(self):
        self.templates = frozenset(path.name for path in self.packages.iterdir()) | {"__pycache__"}

    @property
    def kind(self):
        """What manages it."""
        return "uv" if "uv =" in (self.folder / "pyvenv.cfg").read_text() else "pip"

    @property
    def python(self):
        return self.folder / "bin" / "python"

    @property
    def packages(self):
        return next(self.folder.glob("lib/python3*/site-packages"))

    def run(self, *arguments, **environ):
        return subprocess.run(
            [self.python, *map(str, arguments)],
            env={**self.environ, **environ},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def trtreg(self, *arguments, code=0, **environ):
        done = self.run("-m", "trtreg", *arguments, **environ)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    @property
    def installed(self):
        """Name and version of what lies in the environment itself."""
        infos = (path.name.removesuffix(".dist-info") for path in self.packages.glob("*.dist-info"))
        found = {name.replace("_", "-"): version for name, _, version in (info.partition("-") for info in infos)}
        del found["trtreg"]
        return found

    @property
    def leftovers(self):
        """What lies there besides the metadata and what the template had."""
        return {path.name for path in self.packages.iterdir()} - self.templates


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Make a folder with the packages that trtreg needs, a TensorRT of a known version, and no plugin."""
    folder = tmp_path_factory.mktemp("base")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        # Neither plugins nor trtreg itself, nor what .pth files bring along.
        foreign = path.name.lower().startswith(("trtplugin", "trtreg", "__editable__", "tensorrt"))
        if not foreign and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    (folder / "tensorrt_rtx").mkdir()
    (folder / "tensorrt_rtx" / "__init__.py").write_text("raise RuntimeError('imported')\n", encoding="utf-8")
    info = folder / f"tensorrt_rtx-{TENSORRT}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: tensorrt-rtx\nVersion: {TENSORRT}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (folder / "trtreg").symlink_to(ROOT / "trtreg")
    return folder


@pytest.fixture(scope="session")
def uv():
    """The uv of this environment."""
    path = Path(sys.executable).with_name("uv")
    if not path.exists():
        reason = "uv is not in this environment; requirements/test.txt has it"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def templates(tmp_path_factory, base):
    """Make an environment of each kind once: they are copied."""

    @functools.cache
    def template(*command):
        folder = tmp_path_factory.mktemp("template") / "room"
        subprocess.run([*command, folder], check=True, capture_output=True)
        packages = next(folder.glob("lib/python3*/site-packages"))
        (packages / "base.pth").write_text(f"{base}\n", encoding="utf-8")
        # That trtreg is installed: its code comes from this tree, as of an editable install.
        info = packages / f"trtreg-{__version__}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trtreg\nVersion: {__version__}\n")
        (info / "INSTALLER").write_text("test\n")
        (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/INSTALLER,,\n{info.name}/RECORD,,\n")
        return folder

    return template


@pytest.fixture
def make_room(tmp_path, templates):
    def make_room(*command):
        folder = tmp_path / "room"
        shutil.copytree(templates(*command), folder, symlinks=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "TRTREG_", "PYTHON", "XDG_"))}
        environ = {
            **kept,
            "HOME": str(tmp_path / "home"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INDEX": "1",
            "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
            "UV_NO_CONFIG": "1",
            "UV_NO_INDEX": "1",
            "UV_LINK_MODE": "copy",
        }
        return Room(folder, environ)

    return make_room


@pytest.fixture
def pip_room(make_room):
    """Make an environment that pip manages."""
    return make_room(sys.executable, "-m", "venv", "--without-pip")


@pytest.fixture
def uv_room(make_room, uv):
    """Make an environment that uv made."""
    return make_room(str(uv), "venv", "--no-project", "--no-config", "--offline", "--python", sys.executable)


@pytest.fixture(params=["pip", "uv"])
def room(request):
    """Each of them."""
    return request.getfixturevalue(f"{request.param}_room")


@pytest.fixture
def market(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    return Market(folder)


@pytest.fixture
def pypi(tmp_path):
    return Simple(tmp_path / "pypi")


@pytest.fixture
def serve():
    """Serve a folder on 127.0.0.1; gives the URL."""
    servers = []

    def serve(folder, handler=http.server.SimpleHTTPRequestHandler):
        class Quiet(handler):
            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()
