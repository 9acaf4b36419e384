"""What is opened is what was hashed, whatever happens to the file meanwhile; and who may write to it."""

import ctypes
import io
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from registry import registered

from trtreg import flavour, loader
from trtreg._creator_origin import library_of
from trtreg.errors import HashMismatchError, LoadError, UntrustedFileError
from trtreg.manifest import CreatorKey
from trtreg.trust import integrity

from .conftest import KEY

EVIL = """
#include <cstdio>
#include <cstdlib>
__attribute__((constructor)) static void start() { if (FILE* f = fopen(getenv("TRTREG_TEST_MARK"), "w")) fclose(f); }
extern "C" __attribute__((visibility("default"))) void* getCreators(int& count) { count = 0; return nullptr; }
"""
EXPORT = 'extern "C" __attribute__((visibility("default"))) '


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that is there once the evil library has been opened by anybody."""
    monkeypatch.setenv("TRTREG_TEST_MARK", str(tmp_path / "mark"))
    return tmp_path / "mark"


@pytest.fixture
def evil(compile_library):
    return compile_library(EVIL)


def after_hash(monkeypatch, deed):
    """Let `deed` happen when the file has been hashed and not yet been opened."""
    real = integrity.require_trusted

    def require_trusted(*arguments, **options):
        deed()
        return real(*arguments, **options)

    monkeypatch.setattr(integrity, "require_trusted", require_trusted)


def test_the_evil_library_is_evil(evil, mark):
    subprocess.run([sys.executable, "-c", f"import ctypes; ctypes.CDLL({str(evil)!r})"], check=True)
    assert mark.exists()


def swap(path, evil):
    shutil.copy(evil, path.with_name("evil.so"))
    path.with_name("evil.so").replace(path)


def write_into(path, evil):
    path.write_bytes(evil.read_bytes())


def cut(path, evil):
    os.truncate(path, 100)


def link(path, evil):
    path.unlink()
    path.symlink_to(evil)


@pytest.mark.parametrize("deed", [swap, write_into, cut, link])
def test_a_file_that_changes_between_hash_and_open_changes_nothing(one, evil, mark, monkeypatch, deed):
    after_hash(monkeypatch, lambda: deed(one.library_path, evil))
    assert loader.load(one).creators == (KEY,)
    assert KEY in registered()
    assert not mark.exists()
    assert loader.unload(one) is True
    with pytest.raises(HashMismatchError):
        loader.load(one)
    assert not mark.exists()


def test_a_link_that_is_turned_between_hash_and_open(compile_creators, install, evil, mark, monkeypatch, tmp_path):
    plugin = install(compile_creators([KEY]), [KEY])
    elsewhere = tmp_path / "elsewhere.so"
    plugin.library_path.rename(elsewhere)
    plugin.library_path.symlink_to(elsewhere)

    def turn():
        plugin.library_path.unlink()
        plugin.library_path.symlink_to(evil)

    after_hash(monkeypatch, turn)
    assert loader.load(plugin).library == elsewhere
    assert not mark.exists()


def test_a_library_that_is_cut_short_while_it_is_in_use_does_not_end_the_process(one, run_python, site):
    """It was mapped from the file before: a bus error at the next page that is touched."""
    code = (
        "import os, sys; from trtreg import discovery, loader, flavour;"
        "(plugin,) = discovery.discover([sys.argv[1]]); loader.load(plugin);"
        "os.truncate(plugin.library_path, 0);"
        "print([c.name for c in flavour.load().get_plugin_registry().all_creators if c.name.startswith('Trtreg')])"
    )
    assert run_python(code, str(site)).stdout == "['TrtregTrustOne']\n"


def test_what_is_opened_cannot_be_written_by_anybody(one):
    opened = integrity.open_library(one.library_path)
    for deed in (
        lambda: opened.loadable.write_bytes(b"x"),
        lambda: os.truncate(opened.loadable, 0),
        lambda: os.pwrite(opened.descriptor, b"x", 0),
    ):
        with pytest.raises(OSError, match=r"not permitted|Bad file|denied"):
            deed()
    with opened.file() as file:
        assert file.read() == one.library_path.read_bytes()


def test_without_such_memory_the_descriptor_is_opened(one, evil, mark, monkeypatch):
    monkeypatch.setattr(os, "memfd_create", lambda *_: (_ for _ in ()).throw(PermissionError(1, "forbidden")))
    after_hash(monkeypatch, lambda: swap(one.library_path, evil))
    monkeypatch.setenv("TRTREG_TRUST", "strict")
    loaded = loader.load(one)
    assert loaded.creators == (KEY,)
    assert not mark.exists()


def test_a_limit_on_the_size_of_files_is_no_obstacle(one, run_python, site):
    code = (
        "import resource, sys; from trtreg import discovery, loader;"
        "(plugin,) = discovery.discover([sys.argv[1]]);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "print(loader.load(plugin).creators[0].name);"
        "print(str(plugin.library_path) in open('/proc/self/maps').read())"
    )
    assert run_python(code, str(site)).stdout == "TrtregTrustOne\nTrue\n"


def test_mode_off_opens_the_path_for_debuggers(one, monkeypatch):
    monkeypatch.setenv("TRTREG_TRUST", "off")
    loader.load(one)
    assert str(one.library_path) in Path("/proc/self/maps").read_text()


def test_a_creator_of_such_memory_is_known_by_its_file(one):
    loader.load(one)
    (creator,) = (c for c in flavour.load().get_plugin_registry().all_creators if c.name == KEY.name)
    assert library_of(creator) == one.library_path
    os.utime(one.library_path, (1, 1))
    assert library_of(creator) == Path(f"{one.library_path} (deleted)")


def test_the_same_bytes_written_anew_are_still_that_file(one):
    loaded = loader.load(one)
    os.utime(one.library_path, (1, 1))
    assert loader.load(one) is loaded
    integrity.open_library(one.library_path)
    (creator,) = (c for c in flavour.load().get_plugin_registry().all_creators if c.name == KEY.name)
    assert library_of(creator) == one.library_path


def test_many_loads_need_one_descriptor(one):
    loader.load(one)
    loader.unload(one)
    before = sorted(Path("/proc/self/fd").iterdir())
    for _ in range(20):
        loader.load(one)
        loader.unload(one)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_daemon_that_closes_all_descriptors_loads_again(one, run_python, site):
    code = (
        "import os, sys; from trtreg import discovery, loader, flavour;"
        "(plugin,) = discovery.discover([sys.argv[1]]); loader.load(plugin); loader.unload(plugin);"
        "os.closerange(3, 100); kept = [open('/dev/null') for _ in range(20)];"
        "print(loader.load(plugin).creators[0].name)"
    )
    assert run_python(code, str(site)).stdout == "TrtregTrustOne\n"


def test_libraries_beside_it_are_found_although_it_is_in_memory(compile_library, compile_creators, install):
    """As auditwheel leaves them: $ORIGIN is the folder of the path that is opened."""
    leaf = compile_library(EXPORT + "int leaf() { return 1; }", "-Wl,-soname,libtrtreg-grafted-leaf.so.3")
    source = 'extern "C" int leaf(); ' + EXPORT + "int branch() { return leaf(); }"
    branch = compile_library(source, str(leaf), "-Wl,-soname,libtrtreg-grafted.so", "-Wl,-rpath,$ORIGIN")
    search = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../trtplugin_test.libs"
    library = compile_creators([KEY], "-DNEEDS=branch", str(branch), search)
    plugin = install(library, [KEY])
    folder = plugin.root.parent / "trtplugin_test.libs"
    folder.mkdir()
    shutil.copy(branch, folder / "libtrtreg-grafted.so")
    shutil.copy(leaf, folder / "libtrtreg-grafted-leaf.so.3")
    assert loader.load(plugin).creators == (KEY,)
    assert str(folder / "libtrtreg-grafted.so") in Path("/proc/self/maps").read_text()
    assert ctypes.CDLL(str(folder / "libtrtreg-grafted.so")).branch() == 1


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "dangling link", "unreadable"])
def test_what_is_no_file_is_told_and_not_waited_for(one, kind):
    path = one.library_path
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif os.geteuid() == 0:
        pytest.skip("root reads everything")
    else:
        path.write_bytes(content)
        path.chmod(0)
    with pytest.raises(LoadError, match=r"is no file|cannot be read"):
        loader.load(one)


def test_a_file_that_grows_is_read_no_further_than_expected(one, monkeypatch):
    with one.library_path.open("ab") as file:
        file.truncate(1 << 30)
    reads = []
    real, library = os.read, one.library_path.stat().st_ino

    def read(descriptor, size):
        if os.fstat(descriptor).st_ino == library:
            reads.append(size)
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(HashMismatchError):
        loader.load(one)
    assert reads
    assert sum(reads) < 2 * one.manifest.library.size + 10


FLAWS = {
    "library": lambda plugin: plugin.library_path.chmod(0o666),
    "folder": lambda plugin: plugin.root.chmod(0o777),
    "manifest": lambda plugin: (plugin.root / "trtplugin.json").chmod(0o646),
}


@pytest.mark.parametrize("what", FLAWS)
def test_what_everybody_may_write_to(one, what, monkeypatch, caplog):
    FLAWS[what](one)
    monkeypatch.setenv("TRTREG_TRUST", "strict")
    with pytest.raises(UntrustedFileError, match=r"can be changed by others: .* is writable by everybody"):
        loader.load(one)
    monkeypatch.setenv("TRTREG_TRUST", "warn")
    with caplog.at_level(logging.WARNING, "trtreg.loader"):
        loader.load(one)
        loader.unload(one)
        loader.load(one)
    assert caplog.text.count("is writable by everybody") == 1
    caplog.clear()
    loader.unload(one)
    monkeypatch.setenv("TRTREG_TRUST", "off")
    loader.load(one)
    assert caplog.text == ""


def test_the_usual_permissions_pass_under_strict(one, monkeypatch, caplog):
    monkeypatch.setenv("TRTREG_TRUST", "strict")
    one.root.chmod(0o755)
    one.library_path.chmod(0o644)
    assert loader.load(one).creators == (KEY,)
    loader.unload(one)
    one.root.chmod(0o1777)  # as /tmp, where nobody can replace the files of others
    assert loader.load(one).creators == (KEY,)
    assert caplog.text == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_other_users_and_groups(one, monkeypatch):
    monkeypatch.setenv("TRTREG_TRUST", "strict")
    one.library_path.chmod(0o664)
    assert loader.load(one), "a group that is the user's alone"
    loader.unload(one)
    os.chown(one.library_path, 0, 65533)
    with pytest.raises(UntrustedFileError, match="is writable by group 65533"):
        loader.load(one)
    os.chown(one.library_path, 65533, 0)
    with pytest.raises(UntrustedFileError, match="belongs to user 65533"):
        loader.load(one)


@pytest.mark.parametrize("registration", ["dynamic", "static"])
def test_the_words_of_the_linker_name_the_file_and_not_the_descriptor(compile_creators, install, registration):
    key = CreatorKey("TrtregTrustWords", "1")
    library = compile_creators([key], "-DNEEDS=trtreg_nobody_has_it", "-Wl,-z,now")
    plugin = install(library, [key], registration=registration)
    with pytest.raises(LoadError, match="trtreg_nobody_has_it") as caught:
        loader.load(plugin)
    assert "/proc/" not in str(caught.value)
    assert str(plugin.library_path) in str(caught.value)


def test_the_bytes_are_a_file_for_each_reader(one):
    opened = integrity.open_library(one.library_path)
    with opened.file() as first, opened.file() as second:
        assert first.read() == second.read() != b""
        assert isinstance(first, io.BufferedReader)
