"""Libraries that a compiler has really made in a wrong way, and rules on facts that no compiler here would make."""

from __future__ import annotations

import random
import subprocess
from dataclasses import replace

import pytest

from trtreg.check import judge
from trtreg.check.facts import LibraryFacts, PackageFacts, PluginFacts, Undefined, WheelFacts
from trtreg.check.read_library import read
from trtreg.errors import MissingExtraError
from trtreg.manifest import CreatorKey
from trtreg.sdk import toolchain
from trtreg.sdk.compile import EXPORTS

KEY = CreatorKey("TrtregTestCheck", "1")
STATIC = ("-static-libstdc++", "-static-libgcc")
HARDENED = (*STATIC, "-Wl,-z,now,-z,relro,-z,noexecstack", "-Wl,--exclude-libs,ALL")


@pytest.mark.parametrize(
    ("flags", "rule", "words"),
    [
        (("-Wl,-z,execstack",), "TRT111", "it asks for an executable stack"),
        (("-Wl,-z,norelro",), "TRT112", "it is linked without RELRO"),
        (("-Wl,-z,lazy",), "TRT112", "it is linked without BIND_NOW"),
        (("-Wl,-rpath,/build/lib",), "TRT110", "its run path is not relative to itself | '/build/lib' |"),
        (("-Wl,-rpath,$ORIGIN/../../..",), "TRT110", "its run path leads out of the wheel"),
        (("-Wl,--disable-new-dtags,-rpath,$ORIGIN::lib",), "TRT110", "not relative to itself | '' |"),
    ],
)
def test_flags_of_the_linker(link_sdk, make_sample, tmp_path, find, flags, rule, words):
    errors = find(make_sample(link_sdk(*flags)).write(tmp_path))
    assert set(errors) == {rule}
    assert words in errors[rule][0]


def test_a_library_that_shows_what_it_is_made_of(link_sdk, make_sample, tmp_path, find):
    path = make_sample(link_sdk(exports=True)).write(tmp_path)
    errors = find(path)
    assert set(errors) == {"TRT103"}
    assert "symbols besides the SDK's | _Z" in errors["TRT103"][0]
    assert "symbols that are unique in the process, as _Z" in find(path, "warning")["TRT115"][0]


def test_nodelete(link_sdk, find):
    assert "-z nodelete" in find(link_sdk("-Wl,-z,nodelete"), "warning")["TRT115"][0]


def make_stub(path):
    """An empty library of that name, which another one can be made to need."""
    cxx = toolchain.find().cxx.path
    command = [
        cxx,
        "-shared",
        "-nostdlib",
        "-x",
        "c++",
        "-",
        "-Wl,-z,noexecstack",
        f"-Wl,-soname,{path.name}",
        "-o",
        path,
    ]
    subprocess.run(command, input="", text=True, check=True)
    return path


def test_libraries_that_are_not_on_every_linux(link_sdk, make_sample, tmp_path, find):
    rules = {
        "libnvinfer.so.10": "TRT105",
        "libtensorrt_rtx.so.1": "TRT105",
        "libcuda.so.1": "TRT106",
        "libstdc++.so.6": "TRT107",
        "libgcc_s.so.1": "TRT107",
        "libcublas.so.13": "TRT108",
        "libmine.so": "TRT108",
    }
    for name, rule in rules.items():
        stub = make_stub(tmp_path / name)
        library = link_sdk("-Wl,--no-as-needed", stub, "-Wl,--as-needed")
        errors = find(library)
        assert set(errors) == {rule}, name
        assert f"it needs {name}" in errors[rule][0]
        if name == "libmine.so":
            # In the wheel, where auditwheel puts them, it is found.
            libs = "trtplugin_identity.libs/libmine.so"
            sample = make_sample(link_sdk()).with_files(
                {"trtplugin_identity/libtrtplugin_identity.so": library.read_bytes(), libs: stub.read_bytes()}
            )
            assert "TRT108" not in find(sample.write(tmp_path))


def test_a_library_of_another_build(compile_creators, find):
    """Less is asked of libraries that others have made."""
    path = compile_creators([KEY], *STATIC, "-Wl,-z,lazy,-z,norelro,-z,execstack,--exclude-libs,ALL")
    assert set(find(path)) == {"TRT111"}
    assert set(find(path, "warning")) == {"TRT112"}
    assert set(find(path, "note", load=True)) == set()


def test_undefined_symbols(compile_creators, find):
    errors = find(compile_creators([KEY], "-DNEEDS=no_such_function", *HARDENED))
    assert set(errors) == {"TRT104"}
    assert "1 of its symbols are in none of the libraries that it needs | no_such_function" in errors["TRT104"][0]


def test_a_library_without_an_entry_function(compile_library, find):
    path = compile_library('extern "C" __attribute__((visibility("default"))) int f() { return 0; }', *HARDENED)
    # A bare one may register itself; what does is for the loading to say.
    assert set(find(path)) == set()
    assert set(find(path, load=True)) == {"TRT201"}


def test_damaged_libraries(link_sdk, tmp_path, find):
    content = link_sdk().read_bytes()
    for size in (0, 10, 64, 5000, len(content) // 2):
        path = tmp_path / f"lib{size}.so"
        path.write_bytes(content[:size])
        assert set(find(path, load=True)) == {"TRT101"}, size


def test_a_library_that_says_nothing_of_the_stack(link_sdk, tmp_path, find):
    content, path = link_sdk().read_bytes(), tmp_path / "libplugin.so"
    assert find(link_sdk()) == {}
    path.write_bytes(content.replace((0x6474E551).to_bytes(4, "little"), bytes(4), 1))  # PT_GNU_STACK
    assert set(find(path)) == {"TRT111"}


def test_flipped_bytes_give_facts_or_damage(compile_creators, tmp_path):
    content = compile_creators([KEY], "-s").read_bytes()
    path, chance = tmp_path / "libflipped.so", random.Random(6)  # noqa: S311
    damaged = 0
    for _ in range(150):
        flipped = bytearray(content)
        for _ in range(chance.choice([1, 4, 16])):
            # Where headers and tables are; in the code a flip is no damage that a reader could see.
            at = chance.choice([chance.randrange(0x400), chance.randrange(len(content) - 0x900, len(content))])
            flipped[at] = chance.randrange(256)
        path.write_bytes(flipped)
        damaged += read(path, path.name).damage is not None
    assert 20 < damaged < 150


def test_a_program_is_no_library(tmp_path, find):
    path = tmp_path / "program.so"
    command = [toolchain.find().cxx.path, "-x", "c++", "-", "-no-pie", "-o", path]
    subprocess.run(command, input="int main() {}", text=True, check=True)
    assert "a program or an object file" in find(path)["TRT101"][0]


def test_the_gpu_code_is_read_from_the_library(tmp_path, find):
    tools = toolchain.find()
    source, library = tmp_path / "k.cu", tmp_path / "libk.so"
    source.write_text(
        '__global__ void k() {}\nextern "C" __attribute__((visibility("default"))) void* getCreators(int& n) '
        "{ k<<<1, 1>>>(); n = 0; return nullptr; }\n",
        encoding="utf-8",
    )
    command = [
        *(tools.nvcc.path, "-ccbin", tools.cxx.path, "-shared", "-Xcompiler=-fPIC,-fvisibility=hidden"),
        *("-gencode=arch=compute_90,code=sm_90", f"-L{tools.nvcc.cudart.parent}", "-Xlinker=-z,now,-z,relro"),
        *(source, "-o", library),
    ]
    subprocess.run(command, check=True)
    facts = read(library, "libk.so")
    assert (facts.sms, facts.ptx, facts.gpu_problem) == (("9.0",), (), None)
    assert "| sm 9.0 |" in find(library, "warning")["TRT117"][0]
    content = bytearray(library.read_bytes())
    at = content.index((0xBA55ED50).to_bytes(4, "little"))
    content[at] ^= 0xFF
    library.write_bytes(content)
    assert "its GPU code cannot be read: no image at byte" in find(library, "warning")["TRT116"][0]


SOUND = LibraryFacts(
    path="p/libp.so",
    sha256="0" * 64,
    size=1,
    machine="x86_64",
    needed=("libc.so.6",),
    exports=frozenset(EXPORTS),
    versions={"libc.so.6": ("GLIBC_2.17",)},
    glibc=(2, 17),
)


def findings(library, **changes):
    package = PackageFacts(path="p", kind="library", plugins=(PluginFacts(library=replace(library, **changes)),))
    return {finding.rule.id: finding for finding in judge(package) if finding.rule.id != "TRT204"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"writable_code": True}, "TRT113"),
        ({"text_relocations": True}, "TRT114"),
        ({"exports": frozenset(EXPORTS[:1]) | {"trtreg_get_face"}}, "TRT102"),
        ({"gpu_problem": "of another layout"}, "TRT116"),
        ({"undefined": (Undefined(name="f", version="V1", provider="libgone.so"),)}, "TRT104"),
        ({"undefined": (Undefined(name="getPluginRegistry"),)}, "TRT104"),
    ],
)
def test_rules_on_facts(changes, rule):
    assert findings(SOUND) == {}
    found = findings(SOUND, **changes)
    assert {key: one.level for key, one in found.items()} == {rule: "error"}


def test_what_may_stay_undefined():
    weak = (Undefined(name="__gmon_start__", weak=True), Undefined(name="maybe", weak=True))
    assert findings(SOUND, undefined=weak) == {}
    assert findings(SOUND, undefined=None) == {}
    # A library that registers itself finds TensorRT's functions in the process.
    static = SOUND.exports - {"getCreators", "trtreg_get_face"}
    assert findings(SOUND, exports=static, undefined=(Undefined(name="getPluginRegistry"),)) == {}
    # Without versions in the file, nobody can say which of its libraries has it.
    assert "TRT104" not in findings(SOUND, needed=("libmine.so",), undefined=(Undefined(name="f"),))


@pytest.mark.parametrize(
    ("name", "is_runtime"),
    [
        ("_ZNSt6vectorIiSaIiEE9push_backEOi", True),
        ("_ZNKSt6vectorIiSaIiEE4sizeEv", True),
        ("_Znwm", True),
        ("_ZdlPv", True),
        ("cudaLaunchKernel", True),
        ("__cudaRegisterFatBinary", True),
        ("_ZTVN4mine6PluginE", False),
        ("_ZN4mine6Plugin4initEv", False),
        ("initMyPlugins", False),
    ],
)
def test_which_symbols_belong_to_the_runtimes(name, is_runtime):
    found = findings(SOUND, exports=frozenset({"getCreators", name}))
    assert {key: one.level for key, one in found.items()} == ({"TRT103": "warning"} if is_runtime else {})


def test_symbols_of_other_libraries_newer_than_the_tag():
    wheel = WheelFacts(file="p.whl", project="p", version="1", tags=("py3-none-manylinux_2_17_x86_64",))
    library = replace(SOUND, versions={"libstdc++.so.6": ("GLIBCXX_3.4.30",)}, needed=("libstdc++.so.6",))
    package = PackageFacts(
        path="p.whl",
        kind="wheel",
        wheel=wheel,
        plugins=(PluginFacts(library=library),),
        allowed=frozenset({"libstdc++.so.6"}),
        symbol_versions={"GLIBCXX": frozenset({"3.4.19"})},
    )
    texts = [finding.message for finding in judge(package) if finding.rule.id == "TRT109"]
    assert texts == ["it needs GLIBCXX_3.4.30 of libstdc++.so.6, which is newer than the tag"]


def test_auditwheel_is_asked_only_where_it_is_needed(link_sdk, tmp_path, find, monkeypatch):
    from trtreg.check import platforms

    def absent():
        raise MissingExtraError("auditwheel is not installed")

    monkeypatch.setattr(platforms, "_table", absent)
    assert find(link_sdk()) == {}
    library = link_sdk("-Wl,--no-as-needed", make_stub(tmp_path / "libz.so.1"), "-Wl,--as-needed")
    with pytest.raises(MissingExtraError):
        find(library)
    monkeypatch.undo()
    assert find(library) == {}


def test_the_policies_of_auditwheel():
    from trtreg.check import platforms

    allowed, versions = platforms.policy((2, 17), "x86_64")
    assert "libz.so.1" in allowed
    assert "libcuda.so.1" not in allowed
    assert "3.4.19" in versions["GLIBCXX"]
    assert "3.4.30" not in versions["GLIBCXX"]
    assert platforms.policy((2, 4), "x86_64") == (frozenset(), {})
    assert platforms.floor(["py3-none-manylinux2014_x86_64", "py3-none-manylinux_2_28_x86_64"]) == (2, 17)
    assert platforms.floor(["py3-none-any"]) is None
