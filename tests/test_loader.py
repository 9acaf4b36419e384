import os
import shutil
import threading
from dataclasses import replace

import pytest
from registry import registered

from trtreg import discovery, flavour, loader
from trtreg.errors import (
    AlreadyRegisteredError,
    CreatorsMissingError,
    HashMismatchError,
    IncompatiblePluginError,
    LoadError,
    ManifestError,
    MissingDependencyError,
    NotAPluginError,
    UnknownPluginError,
    WrongArchitectureError,
)
from trtreg.manifest import CreatorKey

ONE = (CreatorKey("TrtregTestOne", "1"),)
TWO = (CreatorKey("TrtregTestTwo", "1"), CreatorKey("TrtregTestTwo", "2", "space"))

# e_machine stands at byte 18 of the ELF header; these are EM_AARCH64 and EM_X86_64.
OTHER_MACHINE = {"x86_64": b"\xb7\x00", "aarch64": b"\x3e\x00"}[os.uname().machine]
OTHER_MACHINE_NAME = {"x86_64": "aarch64", "aarch64": "x86_64"}[os.uname().machine]


EXPORT = 'extern "C" __attribute__((visibility("default"))) '


@pytest.fixture
def one(compile_creators, install):
    return install(compile_creators(ONE), ONE)


def test_loading_registers_what_the_manifest_declares(compile_creators, install):
    plugin = install(compile_creators(TWO), TWO)
    before, before_loaded = registered(), loader.loaded()
    loaded = loader.load(plugin)
    assert registered() - before == set(TWO)
    assert loaded.creators == TWO
    assert loaded.plugin == plugin
    assert loaded.library == plugin.library_path
    assert loaded.handle is not None
    assert loader.loaded() == (*before_loaded, loaded)


def test_a_second_load_gives_the_same_plugin(one):
    assert loader.load(one) is loader.load(one)
    assert [each.plugin for each in loader.loaded()].count(one) == 1


def test_threads_load_once(one):
    start = threading.Barrier(8)
    results, errors = [], []

    def work():
        start.wait()
        try:
            results.append(loader.load(one))
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len({id(result) for result in results}) == 1
    assert results[0].handle is not None


@pytest.mark.parametrize("name", ["trtplugin-test", "TRTplugin_test", "trtplugin_test"])
def test_unload_by_name_takes_the_creators_out(one, name):
    loader.load(one)
    assert loader.unload(name) is True
    assert not registered() & set(ONE)
    assert loader.loaded() == ()


def test_a_plugin_can_be_loaded_again_after_unload(one):
    first = loader.load(one)
    assert loader.unload(first) is True
    assert loader.load(one) is not first
    assert set(ONE) <= registered()
    assert loader.unload(one) is True


def test_unload_of_what_is_not_loaded(one):
    with pytest.raises(UnknownPluginError, match="trtplugin-test"):
        loader.unload(one)
    with pytest.raises(UnknownPluginError, match="nothing-like-it"):
        loader.unload("nothing-like-it")


def test_a_library_that_was_deregistered_behind_our_back_is_loaded_again(one):
    flavour.load().get_plugin_registry().deregister_library(loader.load(one).handle)
    assert not registered() & set(ONE)
    loader.load(one)
    assert set(ONE) <= registered()


def test_a_library_that_was_deregistered_behind_our_back_can_be_unloaded(one):
    flavour.load().get_plugin_registry().deregister_library(loader.load(one).handle)
    assert loader.unload(one) is True
    assert loader.loaded() == ()


def test_a_library_that_somebody_else_loaded_is_adopted(one):
    registry = flavour.load().get_plugin_registry()
    handle = registry.load_library(str(one.library_path))
    try:
        loaded = loader.load(one)
        assert loaded.handle is None
        assert loaded.creators == ONE
        assert loader.load(one) is loaded
        assert loader.unload(loaded) is False, "it is not ours to unload"
        assert set(ONE) <= registered()
    finally:
        registry.deregister_library(handle)


def test_a_changed_library_is_a_hash_mismatch(one):
    content = bytearray(one.library_path.read_bytes())
    content[-1] ^= 1
    one.library_path.write_bytes(content)
    with pytest.raises(HashMismatchError) as caught:
        loader.load(one)
    assert one.manifest.library.sha256 in caught.value.expected
    assert "reinstall trtplugin-test" in str(caught.value)
    assert not registered() & set(ONE)


def test_a_truncated_library_is_a_hash_mismatch(one):
    content = one.library_path.read_bytes()
    one.library_path.write_bytes(content[: len(content) // 2])
    with pytest.raises(HashMismatchError, match=rf"found .*\({len(content) // 2} bytes\)"):
        loader.load(one)


def test_a_library_that_was_truncated_before_it_was_described_does_not_end_the_process(compile_creators, install):
    content = compile_creators(ONE).read_bytes()
    plugin = install(content[:3000], ONE)
    with pytest.raises(NotAPluginError, match=r"is no shared library: found .*3000"):
        loader.load(plugin)


@pytest.mark.parametrize("content", [b"", b"not a library\n", b"\x7fELF"], ids=["empty", "text", "magic only"])
def test_a_file_that_is_no_library(install, content):
    with pytest.raises(NotAPluginError, match="is no shared library"):
        loader.load(install(content, ONE))


def test_a_library_without_get_creators(compile_library, install):
    plugin = install(compile_library(EXPORT + "int f() { return 1; }"), ONE)
    with pytest.raises(NotAPluginError, match="getCreators"):
        loader.load(plugin)


def test_a_library_that_hides_get_creators(compile_library, install):
    plugin = install(compile_library('extern "C" int getCreators() { return 1; }'), ONE)
    with pytest.raises(NotAPluginError, match="getCreators"):
        loader.load(plugin)


def test_a_library_for_another_machine(compile_creators, install):
    content = bytearray(compile_creators(ONE).read_bytes())
    content[18:20] = OTHER_MACHINE
    with pytest.raises(WrongArchitectureError) as caught:
        loader.load(install(bytes(content), ONE))
    assert (caught.value.found, caught.value.expected) == (OTHER_MACHINE_NAME, os.uname().machine)


def test_missing_dependencies_are_named_with_the_indirect_ones(compile_library, compile_creators, install, tmp_path):
    leaf = compile_library(EXPORT + "int leaf() { return 1; }", "-Wl,-soname,libtrtreg-leaf.so.3")
    source = 'extern "C" int leaf(); ' + EXPORT + "int branch() { return leaf(); }"
    branch = compile_library(source, str(leaf), "-Wl,-soname,libtrtreg-branch.so")
    search = "-Wl,--disable-new-dtags,-rpath,$ORIGIN/libs"  # the old kind goes for indirect dependencies too
    library = compile_creators(ONE, "-DNEEDS=branch", str(branch), search)
    plugin = install(library, ONE)
    (plugin.root / "libs").mkdir()  # a process never again looks into a folder that was not there
    with pytest.raises(MissingDependencyError, match=r"no libtrtreg-branch\.so;") as caught:
        loader.load(plugin)
    assert "leaf" not in caught.value.found

    shutil.copy(branch, plugin.root / "libs" / "libtrtreg-branch.so")
    with pytest.raises(MissingDependencyError) as caught:
        loader.load(plugin)
    assert caught.value.found == "no libtrtreg-leaf.so.3"

    shutil.copy(leaf, plugin.root / "libs" / "libtrtreg-leaf.so.3")
    assert loader.load(plugin).creators == ONE


def test_an_undefined_symbol_is_named(compile_creators, install):
    plugin = install(compile_creators(ONE, "-DNEEDS=trtreg_nobody_has_it", "-Wl,-z,now"), ONE)
    with pytest.raises(LoadError, match="trtreg_nobody_has_it") as caught:
        loader.load(plugin)
    assert type(caught.value) is LoadError


def test_creators_of_another_package(compile_creators, install, site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    library = compile_creators(ONE)
    loader.load(install(library, ONE, name="trtplugin-first"))
    with pytest.raises(AlreadyRegisteredError, match=r"TrtregTestOne 1.*trtplugin-first 1\.0") as caught:
        loader.load(install(library, ONE, name="trtplugin-second"))
    assert str(site) in caught.value.found


def test_creators_of_a_library_that_is_no_package(compile_creators, install):
    library = compile_creators(ONE)
    registry = flavour.load().get_plugin_registry()
    handle = registry.load_library(str(library))
    try:
        with pytest.raises(AlreadyRegisteredError) as caught:
            loader.load(install(library, ONE))
        assert str(library) in caught.value.found
    finally:
        registry.deregister_library(handle)


def test_creators_of_tensorrt_itself(compile_creators, install):
    key = min(key for key in registered() if not key.name.startswith("Trtreg"))
    with pytest.raises(AlreadyRegisteredError, match=r"tensorrt_\w+_libs"):
        loader.load(install(compile_creators([key]), [key]))


def test_a_library_that_was_replaced_while_in_use(compile_creators, install):
    plugin = install(compile_creators(ONE), ONE)
    loader.load(plugin)
    content = compile_creators(ONE, "-O1").read_bytes()
    plugin.library_path.unlink()
    shutil.rmtree(plugin.root)
    for info in plugin.root.parent.glob("*.dist-info"):
        shutil.rmtree(info)
    with pytest.raises(AlreadyRegisteredError, match="restart the process"):
        loader.load(install(content, ONE))


def test_creators_that_do_not_appear(compile_creators, install):
    plugin = install(compile_creators(TWO), [*TWO, CreatorKey("TrtregTestThree", "1")])
    before = registered()
    with pytest.raises(CreatorsMissingError, match="declares: TrtregTestThree 1:") as caught:
        loader.load(plugin)
    assert "space::TrtregTestTwo 2" in caught.value.found
    assert registered() == before
    assert loader.loaded() == ()


def test_an_incompatible_plugin_is_refused_with_every_reason(compile_creators, install):
    plugin = install(compile_creators(ONE), ONE, machine="riscv64", glibc="99.0")
    with pytest.raises(IncompatiblePluginError) as caught:
        loader.load(plugin)
    assert [reason.code for reason in caught.value.reasons] == ["machine", "glibc"]
    assert "riscv64" in str(caught.value)
    assert not registered() & set(ONE)


def test_a_plugin_with_a_problem_raises_it(one):
    problem = ManifestError("broken")
    with pytest.raises(ManifestError, match="broken"):
        loader.load(replace(one, manifest=None, problem=problem))
    with pytest.raises(ManifestError, match="no manifest"):
        loader.load(replace(one, manifest=None))


def test_a_library_that_has_gone(one):
    one.library_path.unlink()
    with pytest.raises(LoadError, match="No such file"):
        loader.load(one)


def test_the_path_may_be_a_link_and_have_odd_letters(compile_creators, install, tmp_path):
    plugin = install(compile_creators(ONE), ONE)
    link = tmp_path / "a link, ünd spaces"
    link.symlink_to(plugin.root.parent)
    (linked,) = discovery.discover([str(link)])
    assert loader.load(linked) is loader.load(plugin)
