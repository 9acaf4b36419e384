"""The policy: what each source says, which of them wins, and what is refused in whose name."""

import itertools
import subprocess
import sys

import pytest
from registry import registered

from trtreg import loader
from trtreg.errors import PolicyError, PolicyRefusalError
from trtreg.trust import policy


@pytest.fixture
def environ(tmp_path, monkeypatch):
    """An environment with a system, a user and a process; `write` gives each its policy."""
    files = {
        "system": tmp_path / "etc" / "policy.toml",
        "user": tmp_path / "config" / "trtreg" / "policy.toml",
        "process": tmp_path / "process.toml",
    }
    monkeypatch.setattr(policy, "SYSTEM_FILE", files["system"])
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}

    def write(**texts):
        for name, text in texts.items():
            files[name].parent.mkdir(parents=True, exist_ok=True)
            files[name].write_text(text, encoding="utf-8")
            if name == "process":
                environ["TRTREG_POLICY"] = str(files[name])
        return environ

    write.files = files
    return write


def test_the_default(environ):
    found = policy.read(environ())
    assert (found.mode, found.trial, found.attestations) == ("warn", "new", "offered")
    assert (found.trial_seconds, found.trial_memory_mib) == (60, 4096)
    assert (found.packages, found.indexes, found.hashes, found.publishers) == (None, None, None, None)
    assert found.origins == {}
    found.require_package("anything")
    found.require_index("https://anywhere.example.com/")
    found.require_hash("0" * 64, "anybody")


SCALES = [
    ("mode", ("off", "warn", "strict")),
    ("trial", ("off", "new")),
    ("attestations", ("off", "offered", "required")),
]


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(["system", "user", "process"], 2)])
@pytest.mark.parametrize(("key", "values"), SCALES)
def test_the_most_restrictive_wins_whoever_says_it(environ, first, second, key, values):
    for low in range(len(values)):
        for high in range(low, len(values)):
            found = policy.read(environ(**{first: f'{key} = "{values[low]}"', second: f'{key} = "{values[high]}"'}))
            assert getattr(found, key) == values[high]
            if low != high:
                assert found.origins == {key: str(environ.files[second])}


def test_who_alone_speaks_may_allow_more_than_the_default(environ):
    found = policy.read(environ(user='mode = "off"\ntrial = "off"\ntrial_seconds = 600'))
    assert (found.mode, found.trial, found.trial_seconds) == ("off", "off", 600)


def test_the_smallest_number_wins(environ):
    texts = {"system": "trial_seconds = 90", "user": "trial_seconds = 20\ntrial_memory_mib = 512"}
    found = policy.read(environ(**texts, process="trial_memory_mib = 8192"))
    assert (found.trial_seconds, found.trial_memory_mib) == (20, 512)


def test_the_variable_is_one_more_source(environ):
    assert policy.read({**environ(user='mode = "off"'), "TRTREG_TRUST": "strict"}).mode == "strict"
    found = policy.read({**environ(system='mode = "strict"'), "TRTREG_TRUST": "off"})
    assert (found.mode, found.origins["mode"]) == ("strict", str(environ.files["system"]))
    with pytest.raises(
        PolicyError, match="TRTREG_TRUST has a value that means nothing: found 'paranoid', expected off or"
    ):
        policy.read({**environ(), "TRTREG_TRUST": "paranoid"})


def test_every_list_must_have_it_and_the_one_that_has_not_is_named(environ):
    found = policy.read(environ(system='packages = ["trtplugin-*"]', user='packages = ["*-dcnv2", "trtplugin-a"]'))
    found.require_package("trtplugin-dcnv2")
    found.require_package("TRTplugin_DCNv2")
    with pytest.raises(PolicyRefusalError) as caught:
        found.require_package("company-dcnv2")
    assert f"one of 'packages' in {environ.files['system']}: trtplugin-*" in str(caught.value)
    with pytest.raises(PolicyRefusalError) as caught:
        found.require_package("trtplugin-other")
    assert str(environ.files["user"]) in str(caught.value)


def test_what_is_shown_of_two_lists_is_never_more_than_both_allow(environ):
    texts = {"system": 'packages = ["trtplugin-*"]', "user": 'packages = ["trtplugin-dcnv2", "company-*"]'}
    assert policy.read(environ(**texts)).packages == ("trtplugin-dcnv2",)
    texts = {"system": f'hashes = ["{"a" * 64}", "{"b" * 64}"]', "user": f'hashes = ["{"B" * 64}"]'}
    assert policy.read(environ(**texts)).hashes == ("b" * 64,)
    texts = {"system": 'publishers = ["https://github.com/a/b"]', "user": "publishers = []"}
    assert policy.read(environ(**texts)).publishers == ()


def test_an_empty_list_allows_nothing(environ):
    with pytest.raises(PolicyRefusalError, match="none at all"):
        policy.read(environ(user="packages = []")).require_package("trtplugin-dcnv2")


@pytest.mark.parametrize(
    ("pattern", "url", "allowed"),
    [
        ("https://plugins.example.com/trt", "https://plugins.example.com/trt/", True),
        ("https://plugins.example.com/trt/catalogue.json", "https://plugins.example.com/trt/", True),
        ("https://PLUGINS.example.com/trt/", "https://plugins.example.com/trt/", True),
        ("https://plugins.example.com/trt/", "https://me:secret@plugins.example.com/trt/", True),
        ("https://plugins.example.com/", "http://plugins.example.com/", False),
        ("https://plugins.example.com/", "https://plugins.example.com/trt/", False),
        ("https://plugins.example.com/", "https://plugins.example.com.evil.org/", False),
        ("https://plugins.example.com/*/", "https://plugins.example.com/trt/", True),
        ("https://*.example.com/", "https://plugins.example.com/", True),
        ("https://*.example.com/", "https://evil.org/.example.com/", False),
        ("https://*.example.com/", "https://plugins-example.com/", False),
        ("file:///srv/index/", "file:///srv/index", True),
        ("http://[::1]:8000/", "http://[::1]:8000/", True),
    ],
)
def test_indexes(environ, pattern, url, allowed):
    found = policy.read(environ(user=f'indexes = ["{pattern}"]'))
    if allowed:
        found.require_index(url)
        return
    with pytest.raises(PolicyRefusalError) as caught:
        found.require_index(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('trails = "off"', r"unknown key 'trails'.*did you mean 'trial'\?"),
        ("[packages]\nallow = []", r"'packages' has a value that means nothing: found \{'allow': \[\]\}"),
        ('mode = "Strict"', "'mode' has a value that means nothing: found 'Strict', expected off or warn or strict"),
        ("mode = true", "found True, expected off or warn or strict"),
        ("trial_seconds = true", "found True, expected a whole number from 1 to 86400"),
        ("trial_seconds = 0", "found 0, expected a whole number"),
        ("trial_memory_mib = 1.5", "found 1.5"),
        ('packages = ["a b"]', "found 'a b', expected names of packages"),
        ("packages = [1]", "found 1, expected names of packages"),
        ('indexes = ["plugins.example.com"]', "expected URLs of indexes"),
        ('indexes = ["http://[x/"]', "expected URLs of indexes"),
        ('hashes = ["abc"]', "expected SHA-256 hashes"),
        ('publishers = ["OWNER/REPO"]', "expected publishers such as"),
        ("mode = ", "is not TOML"),
    ],
)
def test_what_means_nothing_is_an_error_that_names_file_and_key(environ, text, message):
    with pytest.raises(PolicyError, match=f"(?s){message}") as caught:
        policy.read(environ(system=text))
    assert str(environ.files["system"]) in str(caught.value)


def test_a_policy_that_cannot_be_read_is_no_leave(environ, tmp_path):
    with pytest.raises(PolicyError, match="TRTREG_POLICY names no file"):
        policy.read({**environ(), "TRTREG_POLICY": str(tmp_path / "nowhere.toml")})
    environ.files["user"].mkdir(parents=True)
    with pytest.raises(PolicyError, match="cannot be read"):
        policy.read(environ())


def test_the_loader_asks_it(one, policy_file):
    policy_file('packages = ["company-*"]')
    with pytest.raises(PolicyRefusalError, match=r"The package trtplugin-test is not allowed.*policy\.toml"):
        loader.load(one)
    path = policy_file(f'hashes = ["{"0" * 64}"]')
    with pytest.raises(PolicyRefusalError, match=one.manifest.library.sha256) as caught:
        loader.load(one)
    assert str(path) in str(caught.value)
    assert not registered() & {creator.key for creator in one.manifest.library.creators}
    policy_file(f'packages = ["trtplugin-*"]\nhashes = ["{one.manifest.library.sha256}"]')
    assert loader.load(one).creators


def test_nothing_of_it_is_read_by_discovery():
    code = (
        "import sys; from trtreg.cli import main; main(['list']);"
        "print([name for name in sys.modules if name.startswith('trtreg.trust') or name == 'tomllib'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
