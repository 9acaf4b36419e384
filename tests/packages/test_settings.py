import pytest

from trtreg.errors import IndexSettingError
from trtreg.packages import settings
from trtreg.packages.settings import Index


@pytest.fixture
def environ(tmp_path):
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": "/nobody"}


@pytest.fixture
def write(environ):
    def write(text):
        file = settings.config_file(environ)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


TWO = """
[[index]]
name = "company"
url = "https://plugins.example.com/trt"

[[index]]
name = "public"
url = "http://localhost:8080/"
"""


def test_indexes_come_from_the_file_in_order(environ, write):
    file = write(TWO)
    found = settings.read(environ=environ)
    assert found.indexes == (
        Index(name="company", url="https://plugins.example.com/trt/"),
        Index(name="public", url="http://localhost:8080/"),
    )
    assert found.origin == str(file)
    assert found.indexes[0].catalogue_url == "https://plugins.example.com/trt/catalogue.json"


def test_no_file_no_index(environ):
    assert settings.read(environ=environ).indexes == ()


def test_the_variable_replaces_the_file_and_the_option_both(environ, write):
    write(TWO)
    environ["TRTREG_INDEX"] = " https://one.example/ http://127.0.0.1:9/x/catalogue.json  https://one.example "
    found = settings.read(environ=environ)
    assert [(i.name, i.url) for i in found.indexes] == [
        ("one.example", "https://one.example/"),
        ("127.0.0.1:9/x", "http://127.0.0.1:9/x/"),
    ]
    assert found.origin == "TRTREG_INDEX"
    found = settings.read(["https://other.example/"], environ=environ)
    assert [i.url for i in found.indexes] == ["https://other.example/"]
    assert settings.read(no_index=True, environ=environ).indexes == ()
    environ["TRTREG_INDEX"] = ""
    assert settings.read(environ=environ).indexes == ()


def test_a_configured_index_is_named(environ, write):
    write(TWO)
    assert [i.name for i in settings.read(["public"], environ=environ).indexes] == ["public"]
    with pytest.raises(IndexSettingError, match=r"'publik', expected .* a configured index \(company, public\)"):
        settings.read(["publik"], environ=environ)


def test_a_folder_is_an_index(environ, tmp_path):
    (tmp_path / "my site").mkdir()
    (index,) = settings.read([str(tmp_path / "my site")], environ=environ).indexes
    assert index.url == f"{(tmp_path / 'my site').as_uri()}/"
    assert index.name == str(tmp_path / "my site")


def test_a_password_is_not_shown(environ):
    (index,) = settings.read(["https://me:secret@host.example/x"], environ=environ).indexes
    assert "secret" in index.url
    assert "secret" not in index.name + index.shown


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("http://host.example/", True),
        ("https://host.example/", False),
        ("http://127.0.0.1:80/", False),
        ("http://[::1]/", False),
        ("file:///x/", False),
    ],
)
def test_what_anybody_on_the_way_can_change(url, exposed):
    assert Index(name="x", url=url).is_exposed is exposed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index = 3", "unexpected value in 'index': found integer 3"),
        ("[index]\nname = 'x'", "unexpected value in 'index': found table"),
        ("index = ['x']", r"unexpected value in 'index\[0\]'"),
        ("[[indx]]", "unknown key 'indx': expected index or autoload or prefer; did you mean 'index'?"),
        ("[[index]]\nname = 'x'", r"missing required key 'index\[0\].url'"),
        ("[[index]]\nurl = 'https://x/'", r"missing required key 'index\[0\].name'"),
        ("[[index]]\nname = 'x'\nurll = 'y'", r"unknown key 'index\[0\].urll'.*did you mean 'index\[0\].url'\?"),
        ("[[index]]\nname = 'x'\nzzz = 'y'", r"unknown key 'index\[0\].zzz': expected name or url$"),
        ("[[index]]\nname = 5\nurl = 'https://x/'", r"'index\[0\].name': found integer 5, expected a string"),
        ("[[index]]\nname = 'a b'\nurl = 'https://x/'", r"'index\[0\].name': found 'a b'"),
        ("[[index]]\nname = 'x'\nurl = 'ftp://x/'", r"'index\[0\].url' holds no URL of an index: found 'ftp://x/'"),
        ("[[index]]\nname = 'x'\nurl = 'plugins'", r"'index\[0\].url' holds no URL"),
        ("[[index]]\nname = 'x'\nurl = 'https://'", r"'index\[0\].url' holds no URL"),
        ("[[index]]\nname = 'x'\nurl = 'https://x:port/'", r"'index\[0\].url' holds no URL"),
        ("[[index]]\nname = 'x'\nurl = 'https://x/?a=1'", "a query or a fragment"),
        (
            "[[index]]\nname = 'x'\nurl = 'https://x/'\n[[index]]\nname = 'x'\nurl = 'https://y/'",
            r"'index\[1\].name': found 'x', expected a name that no other index has",
        ),
        ("[[index", "is not TOML"),
        (b"\xff", "cannot be read"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_key(environ, write, text, message):
    file = write(text)
    with pytest.raises(IndexSettingError, match=message) as caught:
        settings.read(environ=environ)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("value", ["nonsense", "ftp://x/", "https://", "javascript:alert(1)", "https://u:p@x:y/"])
def test_what_is_wrong_in_the_variable(environ, value):
    with pytest.raises(IndexSettingError, match="TRTREG_INDEX"):
        settings.read(environ={**environ, "TRTREG_INDEX": value})


@pytest.mark.parametrize("given", ["", "relative/path"])
def test_folders_follow_the_xdg_specification(given, tmp_path):
    environ = {"XDG_CONFIG_HOME": given, "XDG_CACHE_HOME": given, "HOME": str(tmp_path)}
    assert settings.config_file(environ) == tmp_path / ".config" / "trtreg" / "config.toml"
    assert settings.cache_folder(environ) == tmp_path / ".cache" / "trtreg"
    environ = {"XDG_CACHE_HOME": str(tmp_path / "c"), "HOME": "/nobody"}
    assert settings.cache_folder(environ) == tmp_path / "c" / "trtreg"
