import pytest

from trtreg.autoload import policy
from trtreg.errors import AutoloadSettingError, IndexSettingError


@pytest.fixture
def configured(tmp_path):
    """Write the configuration file; gives the environment that names it."""

    def configured(text, **environ):
        file = tmp_path / "trtreg" / "config.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return {"XDG_CONFIG_HOME": str(tmp_path), **environ}

    return configured


LISTS = '[autoload]\nallow = ["a", "b"]\ndeny = ["b"]\n'


def test_without_lists_all_may_be_loaded(tmp_path):
    lists = policy.read({"XDG_CONFIG_HOME": str(tmp_path)})
    assert lists == policy.Policy()
    assert lists.refusal("anything") is None


def test_the_file(configured, tmp_path):
    lists = policy.read(configured(LISTS))
    assert (lists.allow, lists.deny) == (("a", "b"), ("b",))
    assert lists.allow_origin == lists.deny_origin == str(tmp_path / "trtreg" / "config.toml")
    assert [lists.refusal(name) for name in ("a", "A", "b", "c")] == [None, None, "denied", "not-allowed"]


@pytest.mark.parametrize(
    ("environ", "allow", "deny"),
    [
        ({"TRTREG_AUTOLOAD_ALLOW": "x, y z"}, ("x", "y", "z"), ("b",)),
        ({"TRTREG_AUTOLOAD_DENY": "x"}, ("a", "b"), ("x",)),
        ({"TRTREG_AUTOLOAD_ALLOW": "", "TRTREG_AUTOLOAD_DENY": ""}, (), ()),
    ],
)
def test_a_variable_replaces_its_list_of_the_file(configured, environ, allow, deny):
    lists = policy.read(configured(LISTS, **environ))
    assert (lists.allow, lists.deny) == (allow, deny)


def test_names_are_compared_as_package_names_are():
    lists = policy.Policy(deny=("TrtPlugin_Hswish",))
    assert lists.refusal("trtplugin-hswish") == "denied"
    assert lists.refusal("trtplugin-hswish2") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("autoload = 1", "'autoload' is no table: found 1"),
        ("[autoload]\nalow = []", r"unknown key 'autoload\.alow': expected allow or deny"),
        ('[autoload]\nallow = "a"', r"unexpected value in 'autoload\.allow': found 'a', expected an array"),
        ("[autoload]\ndeny = [1]", r"unexpected value in 'autoload\.deny': found \[1\]"),
        ('[autoload]\ndeny = [""]', r"unexpected value in 'autoload\.deny'"),
    ],
)
def test_a_file_that_means_nothing(configured, text, message):
    with pytest.raises(AutoloadSettingError, match=message):
        policy.read(configured(text))


def test_a_file_that_is_no_toml(configured):
    with pytest.raises(IndexSettingError, match="is not TOML"):
        policy.read(configured("["))


@pytest.mark.parametrize(
    ("value", "off"), [("0", True), ("off", True), ("False", True), ("NO", True), ("1", False), ("", False)]
)
def test_the_switch(value, off):
    assert policy.is_off({"TRTREG_AUTOLOAD": value}) is off
    assert policy.is_off({}) is False
