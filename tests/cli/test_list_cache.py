"""`trtreg list` gives its last answer again, and never one that does not hold any more."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
import time
import venv
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import packaging
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trtreg import _metadata_scan
from trtreg.cli import _list_answer, _list_cache
from trtreg.cli import list as command

ROOT = Path(__file__).resolve().parent.parent.parent
ONE = "trtplugin_one-1.0.dist-info"
OLD = time.time_ns() - 10**12
# All that the answer costs besides the start of Python, but for what is compiled into it.
HOT = {"trtreg", "trtreg._identity", "trtreg.cli", "trtreg.cli._list_cache", "trtreg.cli._terminal"}
# And what a first answer costs besides: nothing of the standard library that takes long to import.
COLD = HOT | {
    "__future__", "_ctypes", "_json", "trtreg._dataclass", "trtreg._json_table", "trtreg._json_text",
    "trtreg._metadata_scan", "trtreg._patterns", "trtreg._versions", "trtreg.cli._list_answer", "trtreg.cli._plugins",
    "trtreg.cli.list", "trtreg.compatibility", "trtreg.discovery", "trtreg.environment",
    "trtreg.flavour", "trtreg.manifest",
}  # fmt: skip


def wait():
    """Let what was written become older than the grain of the clock."""
    time.sleep(max(_list_answer._GRAINS) / 1e9 if max(_list_answer._GRAINS) < 10**9 else 0.15)


class Place:
    """An environment with the console script, and a home of its own."""

    def __init__(self, root, site):
        venv.create(root / "env", symlinks=True, with_pip=False)
        self.site, self.root = site, root
        self.python = root / "env" / "bin" / "python"
        packages = next((root / "env" / "lib").glob("python3*/site-packages"))
        # Nothing else of this environment, whose plugins would be listed too.
        (site / "packaging").symlink_to(Path(packaging.__file__).parent)
        (packages / "seen.pth").write_text(f"{ROOT}\n{site}\n", encoding="utf-8")
        self.script = root / "env" / "bin" / "trtreg"
        text = (ROOT / "bin" / "trtreg").read_text(encoding="utf-8")
        self.script.write_text(text.replace("#!python", f"#!{self.python}"), encoding="utf-8")  # as installers do
        self.script.chmod(0o755)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "XDG_CACHE_HOME": str(root / "cache"),
            "XDG_DATA_HOME": str(root / "data"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    @property
    def kept(self):
        folder = self.root / "cache" / "trtreg" / "list"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def list(self, *words, **environ):
        done = subprocess.run(
            [self.script, "list", *words],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    def afresh(self, *words):
        """The answer where nothing is kept and nothing can be."""
        return self.list(*words, XDG_CACHE_HOME="/dev/null")

    def imported(self, *options):
        """The modules that the command imports and the start of Python does not."""
        found = []
        for words in (["-c", "pass"], [self.script, "list", *options]):
            done = subprocess.run(
                [self.python, "-X", "importtime", *words], env=self.environ, capture_output=True, text=True, check=True
            )
            lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
            found.append({line.rpartition("|")[2].strip() for line in lines})
        return found[1] - found[0] - set(sys.builtin_module_names)


def forge(file):
    """Change what is printed, and nothing by which it is known whether it holds."""
    body = file.read_bytes()[8:].replace(b"\x0c\0\0\0libplugin.so", b"\x0c\0\0\0LIBPLUGIN.SO")
    file.write_bytes(_list_cache.source_hash(_list_cache.FORMAT, body) + body)


@pytest.fixture
def place(tmp_path, site, install):
    install(b"a library", [], "trtplugin-one")
    made = Place(tmp_path / "place", site)
    wait()
    return made


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_second_answer_is_the_first_and_imports_next_to_nothing(place, options):
    fresh = place.afresh(*options)
    assert "trtplugin-one" in fresh[0]
    assert place.list(*options) == fresh
    assert len(place.kept) == 1
    assert place.imported(*options) == HOT - ({"trtreg.cli._terminal"} if options else set())
    assert place.list(*options) == fresh


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="NVML's Python module is imported here")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_first_answer_imports_nothing_that_takes_long(place, site, options):
    add_tensorrt(site)
    (site / "trtplugin_one" / "trtplugin.json").write_text(REAL, encoding="utf-8")
    wait()
    assert "yes" in place.afresh()[0]
    expected = COLD - set(sys.builtin_module_names) - ({"trtreg.cli._terminal"} if options else set())
    assert place.imported(*options) == expected
    assert len(place.kept) == 1


def test_what_is_kept_is_what_is_given(place):
    """So the other tests of this file are about something."""
    place.list()
    (file,) = place.kept
    forge(file)
    assert "LIBPLUGIN.SO" in place.list()[0]


def test_no_plugins(place, site):
    shutil.rmtree(site / ONE)
    wait()
    for _ in range(2):
        out, err = place.list()
        assert (out, err.partition(".")[0]) == ("", "No plugins are installed")
        assert len(place.kept) == 1
    assert place.list("--json") == ('{\n  "schema": 1,\n  "plugins": []\n}\n', "")


def test_on_a_terminal(place):
    """Colour and width are those of the terminal that is there."""
    place.list()

    def shown(columns, **environ):
        primary, secondary = pty.openpty()
        with subprocess.Popen(
            [place.script, "list"], env={**place.environ, "COLUMNS": columns, "TERM": "xterm", **environ},
            stdout=secondary,
        ):  # fmt: skip
            os.close(secondary)
            output = b""
            try:
                while block := os.read(primary, 4096):
                    output += block
            except OSError:  # the other end is closed
                pass
        os.close(primary)
        return output

    for columns in ("60", "100", "300"):
        assert shown(columns) == shown(columns, XDG_CACHE_HOME="/dev/null")
    assert b"\x1b[2m" in shown("100")
    assert shown("60") != shown("300")
    assert len(place.kept) == 1


@pytest.mark.parametrize("length", [0, 4, 8, 9, 200, -1])
def test_a_damaged_answer_counts_as_none(place, length):
    fresh = place.list()
    (file,) = place.kept
    whole = file.read_bytes()
    file.write_bytes(whole[:length])
    assert place.list() == fresh
    assert file.stat().st_size >= len(whole) - 50  # written anew
    file.write_bytes(whole[: length % len(whole)] + b"\xff" + whole[length % len(whole) + 1 :])
    assert place.list() == fresh


@pytest.mark.parametrize("which", ["file", "folder"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_could_have_written_is_not_used(place, which, mode):
    place.list()
    (file,) = place.kept
    forge(file)
    assert "LIBPLUGIN.SO" in place.list()[0]
    path = file if which == "file" else file.parent
    path.chmod(path.stat().st_mode | mode)
    assert "LIBPLUGIN.SO" not in place.list()[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_belongs_to_somebody_else_is_not_used(place, which):
    place.list()
    (file,) = place.kept
    forge(file)
    os.chown(file if which == "file" else file.parent, 12345, -1)
    assert "LIBPLUGIN.SO" not in place.list()[0]


def test_a_link_is_not_followed(place, tmp_path):
    place.list()
    (file,) = place.kept
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    place.list()
    assert not file.is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_the_folder_is_this_users_alone(place):
    place.list()
    (file,) = place.kept
    assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_home_that_cannot_be_written(place):
    fresh = place.afresh()
    for _ in range(2):
        assert place.list(XDG_CACHE_HOME="/proc/self") == fresh
    assert place.list(XDG_CACHE_HOME="not/absolute", HOME="/dev/null") == fresh


def test_many_at_once(place):
    fresh = place.afresh("--json")
    for _ in range(3):
        shutil.rmtree(place.root / "cache", ignore_errors=True)
        processes = [
            subprocess.Popen([place.script, "list", "--json"], env=place.environ, stdout=subprocess.PIPE, text=True)
            for _ in range(6)
        ]
        assert {process.communicate()[0] for process in processes} == {fresh[0]}
        assert len(place.kept) == 1  # and nothing half-written beside it
    assert place.list("--json") == fresh


@pytest.mark.parametrize("which", ["folder", "entry points", "metadata", "manifest", "library"])
def test_what_is_younger_than_the_grain_of_the_clock_is_not_trusted(place, site, which):
    info = site / ONE
    young = {
        "folder": site,
        "entry points": info / "entry_points.txt",
        "metadata": info / "METADATA",
        "manifest": site / "trtplugin_one" / "trtplugin.json",
        "library": site / "trtplugin_one" / "libplugin.so",
    }[which]
    soon = time.time() + 1000  # a clock that went back
    os.utime(young, (soon, soon))
    wait()
    place.list()
    assert place.kept == []
    os.utime(young, ns=(OLD, OLD))
    wait()
    place.list()
    assert len(place.kept) == 1


def test_an_environment_for_each_path_and_setting(place, tmp_path):
    place.list()
    for environ in (
        {"PYTHONPATH": str(tmp_path)},
        {"TRTREG_TENSORRT": "lean"},
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"XDG_DATA_HOME": str(tmp_path)},
    ):
        before = len(place.kept)
        if "TRTREG_TENSORRT" not in environ:
            place.list(**environ)
            assert len(place.kept) == before + 1
    place.list(CUDA_VISIBLE_DEVICES="MIG-1")
    assert len(place.kept) == 4


def test_old_answers_go(place, monkeypatch):
    place.list()
    (file,) = place.kept
    for number in range(_list_answer._MOST):
        shutil.copy2(file, file.with_name(f"{number:016}"))
    place.list(CUDA_VISIBLE_DEVICES="0")
    assert len(place.kept) == _list_answer._MOST // 2 + 2


# As the SDK's build writes it, with whatever a manifest can have.
REAL = """{
  "schema": 1, "package": "trtplugin-one", "version": "1.0", "summary": "Of every kind: \u00e9\u4e00",
  "tensorrt": {"full": ">=10.0,<12", "lean": ">=10.0", "rtx": ">=1.7"},
  "library": {
    "file": "libplugin.so", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "size": 9,
    "machine": "MACHINE", "glibc": "2.17", "needed": ["libc.so.6", "ld-linux-x86-64.so.2"], "cuda": "13.0",
    "sms": ["7.5", "9.0a", "10.0f"], "ptx": ["12.0"], "sdk": {"version": "0.1.0", "face_abi": 1},
    "registration": "dynamic", "init": null, "interface": "v3",
    "creators": [{
      "name": "One", "version": "1", "namespace": "", "inputs": [1, 2], "outputs": [1, 1],
      "fields": [
        {"name": "mode", "type": "char", "length": 0, "default": "bilinear"},
        {"name": "scale", "type": "float32", "length": 2, "default": [0.5, 1e-3], "alias_of": "factor"}
      ],
      "signatures": [{"inputs": ["float32", "int8:chw32"], "outputs": ["float16"]}]
    }]
  }
}""".replace("MACHINE", os.uname().machine)


def in_place(path, old, new):
    """Change a file as nothing but its ctime tells: not its size, nor its mtime, nor the folder around it."""
    facts, text = path.stat(), path.read_text(encoding="utf-8")
    assert old in text
    with path.open("r+", encoding="utf-8") as file:
        file.write(text.replace(old, new))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)


def add_tensorrt(site):
    (site / "tensorrt_lean").mkdir()
    _write(site / "tensorrt_lean" / "__init__.py", "")
    (site / "tensorrt_lean-10.9.dist-info").mkdir()
    _write(site / "tensorrt_lean-10.9.dist-info" / "METADATA", "Name: tensorrt_lean\nVersion: 10.9\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda site: in_place(site / ONE / "entry_points.txt", "= trtplugin_one", "= trtplugin_two"),
        lambda site: in_place(site / ONE / "entry_points.txt", "trtreg.plugins", "trtreg_plugins"),
        lambda site: in_place(site / ONE / "METADATA", "Version: 1.0", "Version: 1.1"),
        lambda site: in_place(site / "trtplugin_one" / "trtplugin.json", '"version": "1.0"', '"version": "1.1"'),
        lambda site: in_place(site / "other-1.0.dist-info" / "entry_points.txt", "trtreg_plugins", "trtreg.plugins"),
        lambda site: _write(site / "bare-1.0.dist-info" / "entry_points.txt", "[trtreg.plugins]\nx = trtplugin_one\n"),
        lambda site: (site / "trtplugin_one" / "libplugin.so").unlink(),
        lambda site: (site / "trtplugin_one" / "trtplugin.json").unlink(),
        lambda site: shutil.rmtree(site / ONE),
        lambda site: (site / ONE).rename(site / "~rtplugin_one-1.0.dist-info"),
        lambda site: (site / ONE / "METADATA").unlink(),
        lambda site: (site / ONE / "METADATA").chmod(0),
        add_tensorrt,
        lambda site: _manifest(site.parent / "place" / "data" / "trtreg" / "libraries" / "own", "own", "1.0"),
    ],
)  # fmt: skip
def test_a_change_is_seen(place, site, change):
    _metadata(site, "other", "[trtreg_plugins]\nx = trtplugin_one\n")
    _metadata(site, "bare", None)
    (place.root / "data" / "trtreg" / "libraries").mkdir(parents=True)
    wait()
    before = place.list("--json")
    assert len(place.kept) == 1
    assert place.list("--json") == before
    change(site)
    after = place.afresh("--json")
    assert (after != before) >= (os.geteuid() != 0)  # root may read a file of mode 0
    assert place.list("--json") == after
    wait()
    assert place.list("--json") == after
    assert place.list("--json") == after


def test_what_changes_no_plugin_leaves_the_answer(place, site):
    before = place.list("--json")
    (kept,) = (file.read_bytes() for file in place.kept)
    _metadata(site, "other", "[console_scripts]\nx = y:z\n")
    wait()
    forge(*place.kept)
    assert "LIBPLUGIN.SO" in place.list()[0]
    (again,) = (file.read_bytes() for file in place.kept)
    assert len(again) > len(kept)  # the other is among what is compared from now on
    shutil.rmtree(place.root / "cache")
    assert place.list("--json") == before


def test_a_change_while_the_answer_is_made(place, site, monkeypatch):
    """The library is there when it is looked for, and is gone before the answer is kept."""
    code = """
import pathlib, sys
from trtreg import environment
from trtreg.cli import _plugins, list, main
judge = _plugins.judge
def judge_and_remove(plugin, here):
    plugin.library_path.unlink()
    return judge(plugin, here)
_plugins.judge = judge_and_remove
main()
"""
    subprocess.run([place.python, "-c", code, "list"], env={**place.environ, "PYTHONSAFEPATH": "1"}, check=True,
                   capture_output=True)  # fmt: skip
    assert not (site / "trtplugin_one" / "libplugin.so").exists()
    assert place.kept == []


def _metadata(site, name, entries):
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    _write(info / "METADATA", f"Name: {name}\nVersion: 1.0\n")
    if entries:
        _write(info / "entry_points.txt", entries)


class Changes(RuleBasedStateMachine):
    """Whatever is done to an environment, an answer that is given again is the one that would be made anew."""

    given = 0
    names, places, numbers = st.sampled_from(("a", "b", "B")), st.integers(0, 1), st.integers(0, 5)

    @initialize()
    def begin(self):
        self.root = Path(os.environ["TRTREG_TEST_FOLDER"]) / os.urandom(8).hex()
        self.folders = [self.root / "one", self.root / "two"]
        for folder in self.folders:
            folder.mkdir(parents=True)
        self.libraries = self.root / "data" / "trtreg" / "libraries"
        self.libraries.mkdir(parents=True)
        sys.path[:] = [*map(str, self.folders), *self.standard]
        os.environ["XDG_DATA_HOME"] = str(self.root / "data")
        self.install(0, "a", "1.0")

    def teardown(self):
        shutil.rmtree(self.root, ignore_errors=True)

    @rule(place=places, name=names, version=st.sampled_from(("1.0", "2.0")))
    def install(self, place, name, version):
        info = self.folders[place] / f"trtplugin_{name}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        _write(info / "METADATA", f"Name: trtplugin-{name}\nVersion: {version}\n")
        _write(info / "entry_points.txt", f"[trtreg.plugins]\n{name} = trtplugin_{name}\n")
        _manifest(self.folders[place] / f"trtplugin_{name}", f"trtplugin-{name}", version)

    @rule(place=places)
    def install_another(self, place):
        (self.folders[place] / f"other-{os.urandom(2).hex()}.dist-info").mkdir()

    @rule(place=places, number=numbers)
    def remove(self, place, number):
        for path in sorted(self.folders[place].iterdir())[number : number + 1]:
            shutil.rmtree(path)

    @rule(place=places, version=st.sampled_from(("10.3", "10.9")), module=st.booleans())
    def install_tensorrt(self, place, version, module):
        info = self.folders[place] / "tensorrt_lean-10.dist-info"
        info.mkdir(exist_ok=True)
        _write(info / "METADATA", f"Name: tensorrt_lean\nVersion: {version}\n")
        folder = self.folders[place] / "tensorrt_lean"
        folder.mkdir(exist_ok=True)
        if module:
            _write(folder / "__init__.py", "")

    @rule(name=names)
    def add(self, name):
        _manifest(self.libraries / name, name, "1.0")

    @rule(number=st.integers(0, 40), how=st.sampled_from(("version", "name", "entry", "touch", "remove", "empty")))
    def change_a_file(self, number, how):
        """In place: the folder around it does not change, nor when the content was changed last, as far as is told."""
        files = sorted(path for path in self.root.rglob("*") if path.is_file())
        for path in files[number % len(files) :][:1]:
            facts = path.stat()
            text = path.read_text(encoding="utf-8")
            if how == "remove":
                path.unlink()
                continue
            text = {
                "version": text.replace("1.0", "3.0"),
                "name": text.replace("trtplugin-a", "trtplugin-b"),
                "entry": "[trtreg.plugins]\nb = trtplugin_b\n" if path.name == "entry_points.txt" else text,
                "touch": text,
                "empty": "",
            }[how]
            with path.open("r+", encoding="utf-8") as file:
                file.write(text)
                file.truncate()
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    @rule(place=places, number=numbers)
    def gain_entry_points(self, place, number):
        infos = sorted(self.folders[place].glob("*.dist-info"))
        for info in infos[number : number + 1]:
            if not (info / "entry_points.txt").exists():
                _write(info / "entry_points.txt", "[trtreg.plugins]\na = trtplugin_a\n")

    @rule()
    def rest(self):
        wait()
        _run()

    @invariant()
    def the_answer_holds(self):
        if not hasattr(self, "root"):
            return
        given = _given()
        if given is not None:
            Changes.given += 1
            assert given == _afresh()
        assert _run() == _afresh()


def _write(path, text):
    path.write_text(text, encoding="utf-8")


def _manifest(folder, name, version):
    folder.mkdir(exist_ok=True)
    _write(folder / "lib.so", "")
    library = {"file": "lib.so", "sha256": "0" * 64, "size": 0, "machine": "x86_64", "needed": [], "sms": [],
               "ptx": [], "creators": [{"name": name, "version": "1"}]}  # fmt: skip
    data = {"schema": 1, "package": name, "version": version, "summary": "", "tensorrt": {"lean": ">=10.5"}}
    _write(folder / "trtplugin.json", json.dumps({**data, "library": library}))


def _captured(function):
    """What it prints: the table and the document at once."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        results = [function(as_json=as_json) for as_json in (False, True)]
    return results, out.getvalue()


def _given():
    results, text = _captured(_list_cache.give)
    assert results[0] == results[1]
    return text if results[0] else None


def _run():
    return _captured(lambda as_json: command.answer(as_json=as_json, keeping=True))[1]


def _afresh():
    """By importlib.metadata, and nothing of what is kept."""
    import importlib

    importlib.invalidate_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_metadata_scan, "read", lambda paths: None)
        return _captured(command.answer)[1]


def test_an_answer_that_is_given_again_holds(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tensorrt")]:
        monkeypatch.delitem(sys.modules, name)
    # The grain of this machine's clock is ten milliseconds at most.
    monkeypatch.setattr(_list_answer, "_GRAINS", (20_000_000, 20_000_000))
    monkeypatch.setenv("TRTREG_TEST_FOLDER", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    # Where neither plugins nor TensorRT are installed.
    Changes.standard = [path for path in sys.path if path.startswith("/") and not path.endswith("-packages")]
    sys.path[:] = [*Changes.standard]
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Changes,
        settings=settings(
            max_examples=60, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert Changes.given > 20  # of the answers that were compared
