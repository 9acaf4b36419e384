"""The page for people in a real browser: Debian's Chromium, driven by Playwright; from a disk and from a server."""

from __future__ import annotations

import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from trtreg.index.page_config import PageConfig
from trtreg.manifest import Creator, Field

from .conftest import write_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no chromium on this machine; Debian has it: apt-get install chromium", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright; requirements/test.txt has it")
expect = sync_api.expect

ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
HOSTILE = "</td><img src=x onerror=document.title='owned'>"
DCN = tuple(
    Field(name=name, type="int32", length=length, alias_of=alias)
    for name, length, alias in (("stride", 2, None), ("groups", 1, None), ("group", 1, "groups"))
)
COUNT = 2000


@pytest.fixture(scope="session")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve() -> Iterator[object]:
    """Serve a folder on 127.0.0.1, and give the URL."""
    servers = []

    def serve(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def tree(tmp_path, catalogue_line) -> Path:
    """Make a small site, deep in another."""
    site = tmp_path / "root" / "some" / "sub path"
    site.mkdir(parents=True)
    dcn = Creator(name="DCNv2", version="1", fields=DCN, inputs=(4, 5), outputs=(1, 1))
    lines = {
        "trtplugin-dcnv2": [
            catalogue_line("trtplugin-dcnv2", "0.1", [dcn], yanked="wrong bias"),
            catalogue_line("trtplugin-dcnv2", "0.2", [dcn], cuda="13.0", sms=["7.5", "9.0"], ptx=["9.0"]),
        ],
        "trtplugin-hostile": [
            catalogue_line("trtplugin-hostile", "1.0", [Creator(name=HOSTILE, version="1")], summary=HOSTILE)
        ],
        "trtplugin-hswish": [
            catalogue_line("trtplugin-hswish", "1.0", [Creator(name="HSwish", version="1")], tensorrt={"rtx": ">=1.7"})
        ],
        "trtplugin-old": [catalogue_line("trtplugin-old", "1.0", status="quarantined")],
    }
    write_page(site, PageConfig(releases=1), lines.items())
    return site


@pytest.fixture(params=["disk", "server"])
def base(request, tree, serve):
    """Where the site is: both ways to read it."""
    if request.param == "disk":
        return f"{tree.as_uri()}/"
    return f"{serve(tree.parent.parent)}/some/sub%20path/"


@pytest.fixture
def visit(browser, serve):  # after `serve`: pages are closed before their server is
    """Open a page in a context of its own. A request that leaves the site, or a message of the console, is a fault."""
    contexts, troubles = [], []

    def visit(url: str, hash_: str = "", **options: object):
        context = browser.new_context(**options)
        contexts.append(context)
        tab = context.new_page()

        def judge(route):
            if route.request.url.startswith(url):
                route.continue_()
            else:
                troubles.append(f"request to {route.request.url}")
                route.abort()

        tab.route("**/*", judge)
        tab.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.goto(f"{url}index.html{hash_}")
        return tab

    yield visit
    for context in contexts:
        context.close()
    assert troubles == []


def names(tab):
    return tab.locator("#plugins tbody th a")


def test_search_by_op_package_and_word(visit, base):
    tab = visit(base)
    expect(names(tab)).to_have_count(4)
    box = tab.get_by_role("searchbox", name="Search ops, packages and words")
    for typed, found in (
        ("dcnv2", "trtplugin-dcnv2"), ("HSwish", "trtplugin-hswish"), ("sm 9.0", "trtplugin-dcnv2"),
        ("rtx hswish", "trtplugin-hswish"), ("quarantined", "trtplugin-old"),
    ):  # fmt: skip
        box.fill(typed)
        expect(names(tab)).to_have_text([found])
        expect(tab.locator("#count")).to_have_text(f"1 of 4 plugins for “{typed}”")
    box.fill("nothing of this kind")
    expect(names(tab)).to_have_count(0)
    expect(tab.get_by_role("status").first).to_contain_text("No plugin for “nothing of this kind”")
    # A search has an address.
    box.fill("dcn")
    expect(tab).to_have_url(re.compile("#q=dcn$"))
    tab.reload()
    expect(box).to_have_value("dcn")
    expect(names(tab)).to_have_text(["trtplugin-dcnv2"])


def test_open_a_plugin(visit, base):
    tab = visit(base)
    names(tab).first.click()
    view = tab.get_by_role("article", name="trtplugin-dcnv2")
    expect(view.get_by_role("heading", level=2).first).to_contain_text("trtplugin-dcnv2 0.2")
    expect(view.locator(".badges li")).to_have_text(
        [
            "TensorRT ≥ 10",
            "TensorRT-RTX ≥ 1.7",
            "TensorRT-lean ≥ 10",
            "sm 7.5\u20139.0 + PTX",
            "CUDA 13.0",
            "Linux x86_64",
        ]
    )
    expect(view.locator(".op h3 code")).to_have_text(["DCNv2"])
    expect(view.locator(".op")).to_contain_text("4 to 5 inputs, 1 output")
    rows = view.locator(".op tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_have_text("strideint32[2]")
    expect(rows.nth(1)).to_have_text("groupsint32group")
    # The newest file; the others on demand, with the mark of what was withdrawn and why.
    files = view.locator(".files tbody tr")
    expect(files).to_have_count(1)
    expect(files.first).to_contain_text("0.2")
    expect(files.first.locator(".hash code")).to_have_text(re.compile(r"^[0-9a-f]{64}$"))
    link = files.first.get_by_role("link").get_attribute("href")
    assert link == f"{base}files/trtplugin-dcnv2/trtplugin_dcnv2-0.2-py3-none-manylinux_2_28_x86_64.whl"
    view.get_by_role("button", name="Show all 2").click()
    expect(files).to_have_count(2)
    expect(files.nth(1)).to_contain_text("yanked")
    expect(files.nth(1)).to_contain_text("wrong bias")
    expect(files.nth(1).get_by_role("link")).to_be_focused()
    tab.go_back()
    expect(names(tab)).to_have_count(4)
    expect(names(tab).first).to_be_focused()


def test_the_lines_are_copied(visit, base):
    tab = visit(base, "#/trtplugin-dcnv2")
    # A page on a disk does not know where the index is served.
    where = base if base.startswith("http") else "https://INDEX/"
    if where.startswith("http:"):
        tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=base.split("/some")[0])
    else:
        tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for what, line in (
        ("trtreg", f"trtreg install trtplugin-dcnv2 --index {where}"),
        ("pip", f"pip install trtplugin-dcnv2 --index-url {where}simple/"),
    ):
        expect(tab.get_by_role("group", name=what)).to_have_text(line)
        tab.get_by_role("button", name=f"Copy the line for {what}").click()
        expect(tab.locator("#said")).to_have_text("Copied")
        assert tab.evaluate("navigator.clipboard.readText()") == line


def test_without_the_clipboards_interface_the_line_is_copied_all_the_same(visit, tree, serve):
    url = f"{serve(tree)}/"
    tab = visit(url, "#/trtplugin-hswish")
    tab.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    tab.get_by_role("button", name="Copy the line for pip").click()
    expect(tab.locator("#said")).to_have_text("Copied")
    expect(tab.get_by_role("button", name="Copy the line for pip")).to_be_focused()
    tab.get_by_role("link", name="All plugins").click()
    tab.keyboard.press("/")
    tab.keyboard.press("Control+V")
    expect(tab.get_by_role("searchbox")).to_have_value(f"pip install trtplugin-hswish --index-url {url}simple/")


def test_keyboard_only(visit, base):
    tab = visit(base)
    expect(names(tab)).to_have_count(4)
    tab.keyboard.press("/")
    box = tab.get_by_role("searchbox")
    expect(box).to_be_focused()
    expect(box).to_have_value("")  # the key opened the search, and was not typed
    tab.keyboard.type("trtplugin-h")
    expect(names(tab)).to_have_count(2)
    tab.keyboard.press("ArrowDown")
    expect(names(tab).nth(0)).to_be_focused()
    tab.keyboard.press("ArrowDown")
    expect(names(tab).nth(1)).to_be_focused()
    outline = names(tab).nth(1).evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline == "solid"
    tab.keyboard.press("Enter")
    view = tab.get_by_role("article", name="trtplugin-hswish")
    expect(view).to_be_focused()
    expect(view.get_by_role("heading", name="1 op")).to_be_visible()
    # From the view on, Tab reaches the way back, the lines and their buttons.
    for role, name in (
        ("link", "← All plugins"), ("group", "trtreg"), ("button", "Copy the line for trtreg"), ("group", "pip"),
        ("button", "Copy the line for pip"),
    ):  # fmt: skip
        tab.keyboard.press("Tab")
        expect(view.get_by_role(role, name=name, exact=True)).to_be_focused()
    tab.keyboard.press("Escape")
    expect(names(tab).nth(1)).to_be_focused()
    expect(box).to_have_value("trtplugin-h")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowUp")
    expect(box).to_be_focused()
    tab.keyboard.press("Escape")
    expect(names(tab)).to_have_count(4)
    tab.keyboard.type("dcn")
    tab.keyboard.press("Enter")  # the first of what was found
    expect(tab.get_by_role("article", name="trtplugin-dcnv2")).to_be_visible()


def test_names_in_wheels_stay_text(visit, base):
    tab = visit(base)
    expect(tab.locator("#plugins")).to_contain_text(HOSTILE)
    tab.goto(f"{base}index.html#/trtplugin-hostile")
    expect(tab.get_by_role("article").locator("h3 code")).to_have_text(HOSTILE)
    expect(tab.locator("article img")).to_have_count(0)
    assert tab.title() == "trtplugin-hostile · TensorRT plugins"
    tab.goto(f"{base}index.html#/{HOSTILE}")
    expect(tab.get_by_role("article")).to_contain_text("This index has no plugin")
    expect(tab.locator("article img")).to_have_count(0)


def test_what_is_in_quarantine_has_no_install_line(visit, base):
    tab = visit(base, "#/trtplugin-old")
    expect(tab.get_by_role("article")).to_contain_text("In quarantine")
    expect(tab.get_by_role("button", name="Copy the line for pip")).to_have_count(0)


def luminance(colour):
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


CONTRASTS = """() => {
  const shown = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.matches(".away")
    && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$|transparent/.test(c)) return c; } return "rgb(255, 255, 255)"; };
  return shown.map((e) => [e.tagName + "." + e.className, getComputedStyle(e).color, ground(e)]);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_with_contrast(visit, tree, scheme):
    url = f"{tree.as_uri()}/"
    tab = visit(url, color_scheme=scheme)
    expect(names(tab)).to_have_count(4)
    ground = luminance(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert ground > 0.9 if scheme == "light" else ground < 0.05
    texts = tab.evaluate(CONTRASTS)
    tab.goto(f"{url}index.html#/trtplugin-dcnv2")
    expect(tab.locator(".files")).to_be_visible()
    texts += tab.evaluate(CONTRASTS)
    assert len(texts) > 50
    # https://www.w3.org/TR/WCAG22/#contrast-minimum
    for what, text, behind in texts:
        light, dark = sorted([luminance(text), luminance(behind)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (what, text, behind)


def test_a_narrow_screen_does_not_scroll_sideways(visit, tree):
    tab = visit(f"{tree.as_uri()}/", viewport={"width": 360, "height": 700})
    expect(names(tab)).to_have_count(4)
    width = "document.documentElement.scrollWidth"
    assert tab.evaluate(width) <= 360
    names(tab).first.click()
    expect(tab.locator(".files")).to_be_visible()
    assert tab.evaluate(width) <= 360


def test_two_thousand_plugins(visit, tmp_path, catalogue_line):
    many = [(name, [catalogue_line(name)]) for name in (f"trtplugin-{i:04d}" for i in range(COUNT))]
    write_page(tmp_path, PageConfig(), many)
    tab = visit(f"{tmp_path.as_uri()}/")
    expect(names(tab)).to_have_count(50)
    tab.get_by_role("button", name="Show 50 more").click()
    expect(names(tab)).to_have_count(100)
    expect(names(tab).nth(50)).to_be_focused()
    tab.get_by_role("searchbox").fill("1999")
    expect(names(tab)).to_have_text(["trtplugin-1999"])
    search = """() => { const box = document.querySelector("#words"); const start = performance.now();
      for (const text of ["t", "tr", "trt", "trtp"]) { box.value = text; box.dispatchEvent(new Event("input")); }
      return (performance.now() - start) / 4; }"""
    assert tab.evaluate(search) < 200  # milliseconds; about 5 where nothing else runs


def test_without_script_the_table_is_there(visit, tree):
    tab = visit(f"{tree.as_uri()}/", java_script_enabled=False)
    expect(names(tab)).to_have_count(4)
    expect(tab.locator("#search")).to_be_hidden()
    assert names(tab).first.get_attribute("href") == "simple/trtplugin-dcnv2/index.html"


def test_releases_that_cannot_be_loaded_are_named(browser, tree):
    shutil.rmtree(tree / "assets" / "releases")
    with browser.new_context() as context:
        tab = context.new_page()
        tab.goto(f"{tree.as_uri()}/index.html#/trtplugin-dcnv2")
        expect(tab.get_by_role("alert")).to_contain_text("could not be loaded: assets/releases/")
        expect(tab.get_by_role("group", name="pip")).to_be_visible()
