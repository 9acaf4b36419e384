"""The documentation: it builds without a warning, tells of every command, error and schema, and loads from nowhere."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

import trtreg
from trtreg import discovery, errors
from trtreg.cli._parser import exit_codes, make_parser

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SOFTCAP = DOCS / "author" / "softcap"
GUIDES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_mkdocs = pytest.mark.skipif(
    find_spec("material") is None and not os.environ.get("CI"), reason="no mkdocs-material; requirements/docs.txt"
)


def build(target: Path, configuration: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", configuration, "-d", target]
    variables = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(configuration.parent)}
    return subprocess.run(command, check=False, env=variables, capture_output=True, text=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Elements(HTMLParser):
    """What a page loads, where its links go, and the anchors that it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors.update(filter(None, [given.get("id"), given.get("name")]))
        if tag == "a":
            self.links.append(given.get("href") or "")
        elif tag == "link" and given.get("rel") not in {"canonical", "next", "prev"}:
            self.loaded.append(given.get("href") or "")
        else:
            self.loaded += [given[name] for name in ("src", "srcset", "data", "poster", "action") if given.get(name)]


@pytest.fixture(scope="session")
def pages(site) -> dict[Path, Elements]:
    return {page: Elements(page) for page in sorted(site.rglob("*.html")) if page.name != "404.html"}


# -- it builds ---------------------------------------------------------------------------------------------------------
@needs_mkdocs
def test_every_link_leads_to_a_page_and_an_anchor(pages):
    broken = []
    for page, elements in pages.items():
        for link in elements.links:
            path, _, anchor = link.partition("#")
            if ":" in path or not link:
                continue
            target = (page.parent / path).resolve() if path else page
            known = pages.get(target)
            # "__skip" and the like are the theme's own.
            if not target.is_file() or (
                known and anchor and not anchor.startswith("__") and anchor not in known.anchors
            ):
                broken.append(f"{page.name}: {link}")
    assert broken == []


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Path:
    """Copy what the documentation is made of, and see that it builds there too."""
    copy = tmp_path_factory.mktemp("repository")
    for name in ("docs", "trtreg", "plugin-packages", "benchmarks/results", "examples", "index", "tests", ".github"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.so", "build", "__pycache__"))
    for file in [*ROOT.glob("*.md"), ROOT / "mkdocs.yml"]:
        shutil.copy(file, copy)
    done = build(copy / "site", copy / "mkdocs.yml")
    assert done.returncode == 0, done.stderr
    return copy


@needs_mkdocs
@pytest.mark.parametrize("text", ["[a](nowhere.md)", "[a](index.md#no-such-heading)", "[a](../no/such/file.py)"])
def test_a_broken_link_breaks_the_build(copied, text):
    page = copied / "docs" / "get-started.md"
    whole = page.read_text(encoding="utf-8")
    try:
        page.write_text(f"{whole}\n{text}\n", encoding="utf-8")
        done = build(copied / "site", copied / "mkdocs.yml")
    finally:
        page.write_text(whole, encoding="utf-8")
    assert done.returncode != 0
    assert "get-started.md" in done.stderr


@needs_mkdocs
def test_nothing_is_loaded_from_another_server(site, pages):
    assert [one for page in pages.values() for one in page.loaded if re.match(r"(https?:)?//", one)] == []
    sheets = "\n".join(sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", sheets) == []


@needs_mkdocs
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; Debian has it: apt-get install chromium")
def test_a_browser_asks_no_other_server(site):
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright; requirements/test.txt has it")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    asked = []

    def browse():
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])
            page = browser.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.goto(home + "troubleshooting.html")
            page.get_by_role("textbox", name="Search").fill("getCreators")
            page.get_by_role("link", name=re.compile("getCreators")).first.wait_for()
            browser.close()

    try:
        with ThreadPoolExecutor(1) as other:  # Playwright takes one loop for a thread, and other tests may have theirs
            other.submit(browse).result()
    finally:
        server.shutdown()
        server.server_close()
    assert any("search_index.json" in url for url in asked)
    assert [url for url in asked if not url.startswith((home, "data:", "blob:"))] == []


# -- it is whole -------------------------------------------------------------------------------------------------------
def parsers(parser: argparse.ArgumentParser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield inner
                yield from parsers(inner)


@needs_mkdocs
def test_the_reference_has_every_command_and_option(site, pages):
    page = site / "reference" / "commands.html"
    text = page.read_text(encoding="utf-8")
    for parser in parsers(make_parser()):
        assert parser.prog.replace(" ", "-") in pages[page].anchors
        for action in parser._actions:
            if action.help != argparse.SUPPRESS:
                assert all(option in text for option in action.option_strings if option not in {"-h", "--help"})


@needs_mkdocs
def test_the_reference_has_every_error_and_exit_code(site):
    text = (site / "reference" / "errors.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>\s*<td>(\d+)</td>\s*<td>(?:<code>(\w+)</code>)?</td>", text)
    assert [int(code) for code, _ in rows] == [*exit_codes()]
    assert {name for _, name in rows if name} == {*errors.__all__} - {"TrtregError"}


@needs_mkdocs
def test_the_reference_has_every_public_name_and_schema(site, pages):
    anchors = pages[site / "reference" / "python.html"].anchors
    assert {name.lower() for name in trtreg.__all__ if name != "__version__"} <= anchors
    text = (site / "reference" / "json.html").read_text(encoding="utf-8")
    for schema in (ROOT / "trtreg" / "schema").glob("*.json"):
        assert f"files/trtreg/schema/{schema.name}" in text
        assert (site / "files" / "trtreg" / "schema" / schema.name).read_bytes() == schema.read_bytes()


@needs_mkdocs
def test_each_plugin_package_has_a_page(site):
    packages = {path.parent.name for path in ROOT.glob("plugin-packages/*/pyproject.toml")}
    assert packages == {path.stem for path in (site / "operators").glob("*.html")} - {"index"}
    table = (site / "operators" / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{package}.html"' in table for package in packages)


def test_every_environment_variable_is_told_of():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "trtreg").rglob("*.py"))
    page = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    rows = {name for row in re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert set(re.findall(r'"(TRTREG_[A-Z_]+)"', source)) <= rows


# -- it is true --------------------------------------------------------------------------------------------------------
def commands():
    """Every command of trtreg that stands in a block of code of a guide, or in README.md's table."""
    for guide in GUIDES:
        text = guide.read_text(encoding="utf-8")
        if guide.name == "README.md":
            cells = re.findall(r"^\|[^|]*\| `(?:[A-Z_]+=\S+ )?(trtreg [^`]+)` \|", text, re.MULTILINE)
            yield from ((guide, line) for line in cells)
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                found = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(trtreg (?!\w+: )[a-z].*)", line)
                if found:
                    yield guide, found[1]


def test_the_commands_of_the_guides_are_commands():
    wrong = []
    for guide, line in commands():
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            try:
                make_parser().parse_args(shlex.split(line.partition(" > ")[0], comments=True)[1:])
            except SystemExit:
                wrong.append(f"{guide.relative_to(ROOT)}: {line}: {said.getvalue().splitlines()[-1:]}")
    assert wrong == []
    assert len(list(commands())) > 50


# The program of README.md's table.
INFER = """
import tensorrt_rtx as trt

names = {creator.name for creator in trt.get_plugin_registry().all_creators}
print({"HSwish", "DCNv2"} & names or "no plugin of ours")
"""


def test_readme_tells_the_truth_about_loading_anywhere(tmp_path):
    """Run the commands of its table that need no other tool, and compare what they print, but for paths."""
    onnx_parser = pytest.importorskip("onnx.parser")
    pytest.importorskip("tensorrt_rtx")
    for package in ("trtplugin-hswish", "trtplugin-dcnv2"):
        if not any(plugin.distribution == package and not plugin.problem for plugin in discovery.discover()):
            pytest.skip(f"{package} is not installed here; `make test` installs it")
    graph = "g (float[1,1] x) => (float[1,1] y) { a = HSwish (x) y = DCNv2 (a, a, a, a) }"
    model = onnx_parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph}')
    (tmp_path / "detector.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "infer.py").write_text(INFER, encoding="utf-8")
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TRTREG_TENSORRT": "rtx", "TRTREG_AUTOLOAD": "0"}
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\|[^|]*\| `(?:trtreg (flags .+|run -- python .+)|python infer.py)` \| `([^`]+)`", table, re.MULTILINE
    )
    tried = 0
    for row, told in dict(reversed(rows)).items():  # of a command twice, the first: before autoload
        words = ["-m", "trtreg", *shlex.split(row.partition(" > ")[0])] if row else ["infer.py"]
        done = subprocess.run(
            [sys.executable, *words], check=False, cwd=tmp_path, env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{row}: {done.stderr}"
        said = [without_paths(line) for line in done.stdout.splitlines()]
        assert without_paths(told) in said, row
        tried += 1
    assert tried >= 7


def without_paths(line: str) -> str:
    if line.startswith("{"):  # a set: in any order
        line = str(sorted(re.findall(r"\w+", line)))
    return re.sub(r"/[^ '\"]*/", "", line)


@pytest.mark.slow
def test_the_first_plugin_is_built_and_passes_its_tests(tmp_path):
    pytest.importorskip("tensorrt_rtx")
    pytest.importorskip("torch")
    project = tmp_path / "trtplugin-softcap"
    shutil.copytree(SOFTCAP, project, ignore=shutil.ignore_patterns("build", "__pycache__"))
    variables = {**os.environ, "TRTREG_CUDA_ARCHS": "8.6", "PYTHONPATH": str(ROOT)}
    quiet = ["--quiet", "--no-deps", "--no-index"]
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", *quiet, "--no-build-isolation", "--wheel-dir", tmp_path, project]
    subprocess.run(build, check=True, env=variables)
    site = tmp_path / "site"
    subprocess.run([*pip, "install", *quiet, "--target", site, *tmp_path.glob("*.whl")], check=True)
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(site)])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, check=False, cwd=project, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout
