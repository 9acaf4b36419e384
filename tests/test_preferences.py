import pytest

from trtreg import preferences
from trtreg.errors import IndexSettingError, PreferenceError
from trtreg.manifest import CreatorKey
from trtreg.packages import settings

ONE, TWO, SPACED = CreatorKey("Op", "1"), CreatorKey("Op", "2"), CreatorKey("Op", "1", "space")


@pytest.fixture
def environ(tmp_path):
    return {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/nobody"}


@pytest.fixture
def write(environ):
    def write(text):
        file = settings.config_file(environ)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_nothing_is_preferred_where_nothing_is_said(environ):
    assert preferences.read(environ).winner(ONE) is None


def test_the_more_exact_goes_first(environ, write):
    file = write('[prefer]\nOp = "any"\n"Op 1" = "one"\n"space::Op" = "spaced"\n"space::Op 3" = "three"')
    found = preferences.read(environ)
    assert found.winner(ONE) == "one"
    assert found.winner(TWO) == "any"
    assert found.winner(SPACED) == "spaced"
    assert found.winner(SPACED._replace(version="3")) == "three"
    assert found.winner(CreatorKey("Other", "1")) is None
    assert found.told(TWO) == f"[prefer] of {file} prefers any for Op 2"


def test_packages_and_tensorrt_are_told_apart(environ):
    found = preferences.read({**environ, "TRTREG_PREFER": "Op 1 = Trtplugin_X , Op 2=tensorrt,"})
    assert found.is_for(ONE, "trtplugin-x")
    assert not found.is_for_tensorrt(ONE)
    assert found.is_for_tensorrt(TWO)
    assert not found.is_for(TWO, "tensorrt"), "a package of that name does not get it"


def test_the_variable_takes_the_place_of_the_table(environ, write):
    write('[prefer]\nOp = "any"')
    assert preferences.read({**environ, "TRTREG_PREFER": "Other=x"}).winner(ONE) is None
    assert preferences.read({**environ, "TRTREG_PREFER": ""}).winners == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prefer = 1", r"'prefer' is no table: found 1, expected \[prefer\]"),
        ("[prefer]\nOp = 1", r"unexpected value in 'prefer\.Op': found 1, expected a package, or tensorrt"),
        ('[prefer]\nOp = ""', r"'prefer\.Op'"),
        ('[prefer]\n"" = "x"', r"'prefer\.'"),
        ('[prefer]\n[prefer.Op]\nx = "y"', r"'prefer\.Op'"),
    ],
)
def test_what_means_nothing_in_the_file(environ, write, text, words):
    write(text)
    with pytest.raises(PreferenceError, match=words):
        preferences.read(environ)


def test_a_file_that_is_no_toml(environ, write):
    write("[prefer")
    with pytest.raises(IndexSettingError, match="is not TOML"):
        preferences.read(environ)


@pytest.mark.parametrize("text", ["Op", "Op=", "=x", "Op=a=b", "Op=a,Op=b"])
def test_what_means_nothing_in_the_variable(environ, text):
    with pytest.raises(PreferenceError, match="TRTREG_PREFER"):
        preferences.read({**environ, "TRTREG_PREFER": text})


def test_the_settings_of_indexes_let_the_table_pass(environ, write):
    write('[prefer]\nOp = "x"')
    assert settings.read(environ=environ).indexes == ()


def test_entries_that_mean_nobody_are_found(environ):
    text = "Op=trtplugin-on,Opp 1=tensorrt,space::Op=trtplugin-one,zzz=x"
    found = preferences.read({**environ, "TRTREG_PREFER": text})
    unknown = found.unknown([ONE, SPACED], ["trtplugin-one"])
    assert unknown == {"Op": ("trtplugin-one",), "Opp 1": ("Op 1",), "zzz": ()}
