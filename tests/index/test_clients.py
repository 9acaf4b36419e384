"""pip and uv install from a real index through real servers on this machine."""

import getpass
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

UV = Path(sys.executable).with_name("uv")
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Server:
    def __init__(self, url, requests):
        self.url = url
        self.requests = requests

    @property
    def simple(self):
        return f"{self.url}simple/"

    def asked(self, end):
        return [path for path in self.requests() if path.endswith(end)]


@pytest.fixture
def index(publisher, make, wheels):
    """An index of two projects; the newest release of one is yanked, and one depends on the other."""
    make("trtplugin-one", "1.0", requires=["trtplugin-base>=1"])
    make("trtplugin-one", "2.0")
    make("trtplugin-base", "1.0+cu13", manifest=False)
    publisher.build([wheels])
    publisher.yank("trtplugin-one", "2.0", "wrong results")


@pytest.fixture
def python_server(index, site):
    """Like `python -m http.server`, below a path."""
    seen = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            seen.append(self.path)

    (site.parent / "root").mkdir()
    (site.parent / "root" / "sub").symlink_to(site)
    handler = partial(Handler, directory=str(site.parent / "root"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Server(f"http://127.0.0.1:{server.server_address[1]}/sub/", lambda: list(seen))
        server.shutdown()


@pytest.fixture
def nginx_server(index, site, tmp_path):
    if NGINX is None:
        pytest.skip("nginx is not on this machine; Debian's nginx-light has it")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    folder = tmp_path / "nginx"
    folder.mkdir()
    # As root, nginx would serve as somebody who may not look into the folders of this test.
    user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"""
        {user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 64; }}
        http {{
            default_type application/octet-stream;
            types {{ text/html html; application/json json; text/css css; text/javascript js; image/svg+xml svg; }}
            log_format paths "$uri"; access_log {folder}/access.log paths;
            client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
            uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
            server {{
                listen 127.0.0.1:{port};
                location /sub/ {{ alias {site}/; index index.html; }}
                location /sub/.trtreg/ {{ return 404; }}
            }}
        }}
        """
    )
    process = subprocess.Popen([NGINX, "-p", folder, "-c", configuration, "-e", folder / "error.log"])
    server = Server(f"http://127.0.0.1:{port}/sub/", lambda: (folder / "access.log").read_text().split())
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(server.simple, timeout=5).close()  # noqa: S310
                break
            except OSError:
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(params=["python_server", "nginx_server"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def pip(tmp_path):
    def pip(*arguments, code=0):
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
        environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "pip", *map(str, arguments)],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return pip


def installed(folder):
    return sorted(path.name for path in folder.glob("*.dist-info"))


BOTH = ["trtplugin_base-1.0+cu13.dist-info", "trtplugin_one-1.0.dist-info"]


def test_pip_with_an_index_url(server, pip, tmp_path):
    """The yanked release is not chosen, and the version with a + is found."""
    pip("install", "--index-url", server.simple, "--target", tmp_path / "t", "trtplugin-one")
    assert installed(tmp_path / "t") == BOTH


def test_pip_takes_a_yanked_release_if_asked_for_exactly(python_server, pip, tmp_path):
    said = pip("install", "-i", python_server.simple, "--target", tmp_path / "t", "trtplugin-one==2.0")
    assert installed(tmp_path / "t") == ["trtplugin_one-2.0.dist-info"]
    assert "wrong results" in said


def test_pip_with_an_extra_index_url(server, pip, tmp_path, wheels):
    empty = tmp_path / "empty"
    empty.mkdir()
    pip(
        "install", "-i", empty.as_uri(), "--extra-index-url", server.simple, "--target", tmp_path / "t", "trtplugin-one"
    )
    assert installed(tmp_path / "t") == BOTH


def test_pip_with_hashes(server, pip, tmp_path, wheels):
    requirements = tmp_path / "requirements.txt"
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(wheels.iterdir())[:2]]
    pins = ["trtplugin-base==1.0+cu13", "trtplugin-one==1.0"]
    requirements.write_text("".join(f"{p} --hash=sha256:{d}\n" for p, d in zip(pins, digests, strict=True)))
    pip("install", "-i", server.simple, "--require-hashes", "-r", requirements, "--target", tmp_path / "t")
    assert installed(tmp_path / "t") == BOTH

    requirements.write_text(f"{pins[0]} --hash=sha256:{'0' * 64}\n")
    said = pip(
        "install", "-i", server.simple, "--require-hashes", "-r", requirements, "--target", tmp_path / "u", code=1
    )
    assert "DO NOT MATCH" in said


def test_pip_notices_a_wheel_that_was_exchanged(python_server, pip, tmp_path, site):
    (path,) = (site / "files/trtplugin-base").glob("*.whl")
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data + b"x")
    said = pip("install", "-i", python_server.simple, "--target", tmp_path / "t", "trtplugin-base", code=1)
    assert "DO NOT MATCH" in said


def test_pip_reads_the_metadata_alone(server, pip, tmp_path):
    """It resolves without downloading a wheel (PEP 658)."""
    said = pip("install", "-i", server.simple, "--dry-run", "--ignore-installed", "trtplugin-one")
    assert "Would install trtplugin-base-1.0+cu13 trtplugin-one-1.0" in said
    assert len(server.asked(".whl.metadata")) == 2
    pip("download", "-i", server.simple, "-d", tmp_path / "d", "trtplugin-one")
    assert len(list((tmp_path / "d").iterdir())) == 2
    assert len(server.asked(".whl")) >= 2


@pytest.mark.parametrize("option", ["--index-url", "--extra-index-url"])
def test_uv(server, tmp_path, option):
    if not UV.exists():
        pytest.skip("uv is not in this environment; requirements/test.txt has it")
    target = tmp_path / "t"
    (tmp_path / "empty").mkdir()
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    environ |= {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}
    command = [UV, "pip", "install", "--python", sys.executable, "--target", target, option, server.simple]
    if option == "--extra-index-url":
        command += ["--index-url", (tmp_path / "empty").as_uri()]
    done = subprocess.run([*command, "trtplugin-one"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert installed(target) == BOTH
    assert server.asked(".whl.metadata")


def test_nginx_keeps_the_ledger_to_itself(nginx_server):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{nginx_server.url}.trtreg/ledger.sqlite3", timeout=5)  # noqa: S310


def test_the_page_is_understood_as_the_standard_has_it(index, site):
    """By an independent reader of both kinds of pages."""
    reader = pytest.importorskip(
        "pypi_simple", reason="pypi-simple is not in this environment; requirements/test.txt has it"
    )
    html = reader.ProjectPage.from_html("trtplugin-one", (site / "simple/trtplugin-one/index.html").read_text())
    data = reader.ProjectPage.from_json_data(json.loads((site / "simple/trtplugin-one/index.json").read_text()))
    assert html.repository_version == data.repository_version == "1.4"
    for a, b in zip(html.packages, data.packages, strict=True):
        assert (a.filename, a.digests, a.is_yanked, a.yanked_reason) == (
            b.filename,
            b.digests,
            b.is_yanked,
            b.yanked_reason,
        )
        assert (a.has_metadata, a.metadata_digests, a.requires_python) == (
            b.has_metadata,
            b.metadata_digests,
            b.requires_python,
        )
    assert [package.version for package in data.packages] == ["1.0", "2.0"]
    assert data.versions == ["1.0", "2.0"]
    assert data.packages[0].size
    assert data.packages[0].upload_time
