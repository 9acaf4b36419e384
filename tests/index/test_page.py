"""The page for people: its files, before any browser reads them; see test_browser.py for the rest."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from trtreg.cli import main
from trtreg.errors import SettingError
from trtreg.index import Publisher, page, page_config
from trtreg.index.page_config import PageConfig
from trtreg.manifest import Creator, Field

from .conftest import write_page

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u2028\u0000"
OP = Creator(name="DCNv2", version="1", fields=(Field(name="stride", type="int32", length=2),))


def tree(site: Path) -> dict[str, bytes]:
    files = {path.relative_to(site): path for path in sorted(site.rglob("*")) if path.is_file()}
    return {str(name): path.read_bytes() for name, path in files.items() if name.parts[0] != ".trtreg"}


def payload(path: Path) -> list[Any]:
    """What a data file gives to the script."""
    text = path.read_text(encoding="ascii")
    call = re.fullmatch(r"trtreg(?:List|Files)\(\[\n(.*)\n\]\);\n", text, re.DOTALL)
    assert call
    return json.loads(f"[{call[1]}]")


def plugins(site: Path) -> dict[str, Any]:
    return {one["project"]: one for one in payload(site / "assets" / "plugins.js")}


def releases(site: Path) -> list[Any]:
    return [one for path in sorted((site / "assets" / "releases").glob("*.js")) for one in payload(path)]


class Document(HTMLParser):
    """Every attribute that loads or leads somewhere, the text, and the names of the tags."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.meta: dict[str, str] = {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.urls += [value for name, value in attrs if name in {"src", "href", "action", "srcset"}]
        named = dict(attrs)
        if tag == "meta" and (key := named.get("http-equiv") or named.get("name")):
            self.meta[key] = named["content"]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def projects(catalogue_line):
    names = [f"trtplugin-{name}" for name in ("a", "b", "c", "d")]
    return [(name, [catalogue_line(name, version, [OP]) for version in ("1.0", "1.1")]) for name in names]


def test_each_project_is_in_the_list_and_each_release_in_its_shard(site, projects):
    write_page(site, PageConfig(), projects)
    assert list(plugins(site)) == [name for name, _ in projects]
    assert plugins(site)["trtplugin-b"]["ops"] == [["DCNv2", "1", ""]]
    assert sorted(map(json.dumps, releases(site))) == sorted(
        json.dumps(json.loads(line)) for _, lines in projects for line in lines
    )
    for name, one in plugins(site).items():
        shard = payload(site / "assets" / "releases" / f"{one['shard']}.js")
        assert sum(release["project"] == name for release in shard) == one["files"] == 2


def test_changes_are_merged_as_if_all_had_been_written_at_once(tmp_path, projects, catalogue_line):
    once, often = tmp_path / "once", tmp_path / "often"
    changed = ("trtplugin-c", [catalogue_line("trtplugin-c", "2.0", [OP])])
    write_page(once, PageConfig(), [projects[0], projects[1], changed])
    assert not page.is_complete(often)
    write_page(often, PageConfig(), [projects[1], projects[2], projects[3]])
    assert page.is_complete(often)
    write_page(often, PageConfig(), [projects[0], changed, ("trtplugin-d", [])])
    assert tree(often) == tree(once)
    assert plugins(once)["trtplugin-c"]["version"] == "2.0"


def test_a_page_made_anew_has_nothing_of_the_one_before(tmp_path, projects):
    anew, fresh = tmp_path / "anew", tmp_path / "fresh"
    write_page(anew, PageConfig(), projects)
    write_page(fresh, PageConfig(), projects[:1])
    (anew / "assets" / "plugins.js").write_text("trtregInAnotherFormat([\n")
    write_page(anew, PageConfig(), projects[:1])
    assert tree(anew) == tree(fresh)


def test_the_same_change_twice_writes_nothing(site, projects):
    write_page(site, PageConfig(), projects)
    times = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    write_page(site, PageConfig(), projects)
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()} == times


def test_one_change_rewrites_a_fixed_number_of_files(site, catalogue_line):
    names = [f"trtplugin-{i:03d}" for i in range(300)]
    write_page(site, PageConfig(), [(name, [catalogue_line(name)]) for name in names])
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    write_page(site, PageConfig(plain_rows=0), [(names[7], [catalogue_line(names[7], "2.0")])])
    after = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    written = {path.name for path in after if after[path] != before.get(path)}
    assert written == {"plugins.js", "index.html", "catalogue.json", f"{plugins(site)[names[7]]['shard']}.js"}


def test_a_failure_leaves_the_page_as_it_was(site, projects):
    write_page(site, PageConfig(), projects)
    before = tree(site)

    def broken():
        yield "trtplugin-a", []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_page(site, PageConfig(), broken())
    assert tree(site) == before


def test_the_list_shows_the_release_that_an_installer_would_take(site, catalogue_line):
    lines = [
        catalogue_line("trtplugin-a", "1.0", machine="aarch64", summary="old"),
        catalogue_line("trtplugin-a", "1.1", machine="aarch64", summary="good"),
        catalogue_line("trtplugin-a", "1.1", machine="x86_64", summary="good"),
        catalogue_line("trtplugin-a", "1.2", yanked="it crashes"),
        catalogue_line("trtplugin-a", "2.0rc1"),
    ]
    withdrawn = [catalogue_line("trtplugin-b", "1.0", yanked=""), catalogue_line("trtplugin-b", "1.1", yanked="")]
    write_page(site, PageConfig(), [("trtplugin-a", lines), ("trtplugin-b", withdrawn)])
    a, b = plugins(site).values()
    assert (a["version"], a["summary"], a["yanked"], a["files"]) == ("1.1", "good", False, 5)
    assert a["machines"] == ["aarch64", "x86_64"]
    assert (b["version"], b["yanked"]) == ("1.1", "")


def test_only_own_files_are_named_and_allowed(site, projects):
    write_page(site, PageConfig(url="https://plugins.example.org/trt/"), projects)
    document = Document(site / "index.html")
    assert document.urls
    # Relative, so that it works below any path, and nothing of another host.
    assert [url for url in document.urls if re.match(r"[a-z]+:|/", url)] == []
    assert {"assets/page.js", "assets/page.css", "assets/plugins.js"} <= set(document.urls)
    policy = document.meta["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {rule.partition(" ")[2] for rule in policy} == {"'none'", "'self'"}
    for name in ("page.css", "page.js", "icon.svg"):
        text = (site / "assets" / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"@import|url\(|innerHTML|document\.write|eval\(|//[a-z]+\.[a-z]+", text) == []


def test_what_wheels_say_is_text_and_nothing_else(site, catalogue_line):
    creator = Creator(name=HOSTILE, version="1", namespace=HOSTILE, fields=(Field(name=HOSTILE, type="int32"),))
    line = catalogue_line("trtplugin-a", "1.0", [creator], summary=HOSTILE, yanked=HOSTILE)
    write_page(site, PageConfig(title=HOSTILE), [("trtplugin-a", [line])])
    document = Document(site / "index.html")
    assert document.tags.count("script") == 2
    assert document.tags.count("img") == 1  # the icon
    assert "<img src=x onerror=alert(1)>" in document.text
    for path in (site / "assets").rglob("*.js"):
        path.name == "page.js" or path.read_text(encoding="ascii")  # U+2028 once ended a line of JavaScript
    assert releases(site)[0]["ops"][0]["name"] == HOSTILE


def test_without_script_there_is_a_table_up_to_a_limit(site, projects):
    write_page(site, PageConfig(plain_rows=3), projects)
    document = Document(site / "index.html")
    assert [url for url in document.urls if url.startswith("simple/trtplugin")] == [
        f"simple/trtplugin-{name}/index.html" for name in "abc"
    ]
    assert "The first 3 of 4" in document.text
    write_page(site, PageConfig(plain_rows=4), [])
    assert "noscript" not in Document(site / "index.html").tags


def test_an_empty_index_has_a_page(site):
    write_page(site, PageConfig(), [])
    assert payload(site / "assets" / "plugins.js") == []
    assert "0 plugins" in Document(site / "index.html").text


def test_the_configuration_is_read(tmp_path):
    path = tmp_path / "index.toml"
    path.write_text('[page]\ntitle = "Ours"\nurl = "https://example.org/x/"\nplain-rows = 7\n', encoding="utf-8")
    assert page_config.read(path) == PageConfig(title="Ours", url="https://example.org/x/", plain_rows=7)
    path.write_text("", encoding="utf-8")
    assert page_config.read(path) == PageConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[page]\ntitel = 'x'", r"Unexpected value in 'page\.titel'.*title"),
        ("[page]\nrows = 0", r"'page\.rows'"),
        ("[page]\ntitle = 3", r"Unexpected type int \(expected str\) in 'page\.title'"),
        ("[page]\nurl = 'javascript:alert(1)'", r"'page\.url'"),
        ("page = [", "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, text, said):
    path = tmp_path / "index.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match=said):
        page_config.read(path)


def test_the_projects_own_configuration_is_good(request):
    path = request.config.rootpath / "index" / "index.toml"
    assert page_config.read(path).title


def test_the_publishers_choice_is_kept(site, make):
    wheel = make("trtplugin-a")
    Publisher(site, config=PageConfig(title="Ours")).build([wheel])
    assert "<title>Ours</title>" in (site / "index.html").read_text(encoding="utf-8")
    Publisher(site).yank("trtplugin-a", "1.0")
    assert "<title>Ours</title>" in (site / "index.html").read_text(encoding="utf-8")
    assert plugins(site)["trtplugin-a"]["yanked"] == ""
    # A choice alone is a change, and one that a crash has broken off is made up for.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(page, "stage", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Publisher(site, config=PageConfig(title="Theirs")).build()
    Publisher(site).build()
    assert "<title>Theirs</title>" in (site / "index.html").read_text(encoding="utf-8")


def test_the_configuration_is_an_option_of_build(site, make, tmp_path, capsys):
    path = tmp_path / "index.toml"
    path.write_text("[page]\ntitle = 'Ours'\n", encoding="utf-8")
    assert main(["index", "build", str(make("trtplugin-a")), "-o", str(site), "--config", str(path)]) == 0
    assert "<title>Ours</title>" in (site / "index.html").read_text(encoding="utf-8")
    path.write_text("[page]\ntitle = 4\n", encoding="utf-8")
    assert main(["index", "build", "-o", str(site), "--config", str(path)]) == SettingError.exit_code
    assert "page.title" in capsys.readouterr().err
