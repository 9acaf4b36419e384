"""The serving notes of index/README.md: nginx with index/nginx.conf, and Python's http.server."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from trtreg.index.page_config import PageConfig

from .conftest import write_page

ROOT = Path(__file__).resolve().parents[2]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
JSON = "application/vnd.pypi.simple.v1+json"
PIP = f"{JSON}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"  # what pip sends
WHEEL = "trtplugin_a-1.0-py3-none-manylinux_2_28_x86_64.whl"


@pytest.fixture
def tree(tmp_path, catalogue_line):
    """Make a site with one project, and with what must not be served."""
    site = tmp_path / "site"
    write_page(site, PageConfig(), [("trtplugin-a", [catalogue_line("trtplugin-a")])])
    for path, text in {
        "simple/index.html": "<!DOCTYPE html>root",
        "simple/index.json": '{"root": 1}',
        "simple/trtplugin-a/index.html": "<!DOCTYPE html>project",
        "simple/trtplugin-a/index.json": '{"project": 1}' + " " * 2000,
        "catalogue.json": "{}",
        f"files/trtplugin-a/{WHEEL}": "wheel",
        f"files/trtplugin-a/{WHEEL}.metadata": "Name: trtplugin-a",
        ".trtreg/ledger.sqlite3": "secret",
    }.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text, encoding="utf-8")
    return site


def get(url, accept=None, **headers):
    """Give status, headers and body."""
    request = urllib.request.Request(url, headers={**headers, **({"Accept": accept} if accept else {})})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, b""


def started(process, port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the server does not answer")


@pytest.fixture
def nginx(tree, tmp_path):
    """Run nginx with our file; only the lines marked HERE are changed."""
    if NGINX is None:
        pytest.skip("no nginx on this machine; Debian has it: apt-get install nginx-light")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = (ROOT / "index" / "nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"listen 127.0.0.1:8080;( +# HERE)", rf"listen 127.0.0.1:{port};\1", text)
    text = re.sub(r"root site;( +# HERE)", rf"root {tree};\1", text)
    user = "user root;\n" if os.geteuid() == 0 else ""  # the workers of root read the test's folder, too
    (tmp_path / "nginx.conf").write_text(user + text, encoding="utf-8")
    command = [NGINX, "-p", tmp_path, "-e", "stderr", "-c", tmp_path / "nginx.conf", "-g", "daemon off;"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        started(process, port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("path", "accept", "kind", "body"),
    [
        ("simple/", PIP, JSON, b'{"root": 1}'),
        ("simple/trtplugin-a/", PIP, JSON, b'{"project": 1}'),
        ("simple/trtplugin-a/", "application/vnd.pypi.simple.latest+json", JSON, b'{"project": 1}'),
        ("simple/trtplugin-a/", "text/html", "text/html; charset=utf-8", b"<!DOCTYPE html>project"),
        ("simple/trtplugin-a/", None, "text/html; charset=utf-8", b"<!DOCTYPE html>project"),
        ("simple/trtplugin-a/index.html", None, "text/html; charset=utf-8", b"<!DOCTYPE html>project"),
        ("catalogue.json", None, "application/json", b"{}"),
        (f"files/trtplugin-a/{WHEEL}", None, "application/zip", b"wheel"),
        (f"files/trtplugin-a/{WHEEL}.metadata", None, "text/plain; charset=utf-8", b"Name: trtplugin-a"),
    ],
)
def test_nginx_gives_each_reader_its_form(nginx, path, accept, kind, body):
    status, headers, content = get(nginx + path, accept)
    assert (status, headers["Content-Type"], content.rstrip()) == (200, kind, body)
    assert ("immutable" in headers["Cache-Control"]) == path.startswith("files/")
    assert (headers["Vary"] or "").startswith("Accept") == path.startswith("simple/")
    # Asked again with its ETag, it is not sent again.
    assert get(nginx + path, accept, **{"If-None-Match": headers["ETag"]})[0] == 304


@pytest.mark.parametrize("path", [".trtreg/ledger.sqlite3", ".trtreg/", ".trtreg", "simple/../.trtreg/ledger.sqlite3"])
def test_nginx_does_not_serve_the_publishers_state(nginx, path):
    assert get(nginx + path)[0] == 404


def test_nginx_serves_the_page_and_packs_what_is_large(nginx):
    for path, kind in (("", "text/html"), ("assets/page.js", "text/javascript"), ("assets/page.css", "text/css")):
        status, headers, _ = get(nginx + path)
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
    _, headers, _ = get(nginx + "simple/trtplugin-a/", PIP, **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"


def test_pythons_http_server_serves_html(tree):
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", tree, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            base = re.search(r"http://\S+/", process.stdout.readline())[0]
            for path, kind in (
                ("", "text/html"),
                ("simple/trtplugin-a/", "text/html"),
                ("assets/page.js", "javascript"),
            ):
                status, headers, _ = get(base + path, PIP)
                assert (status, kind in headers["Content-Type"]) == (200, True)
        finally:
            process.terminate()
