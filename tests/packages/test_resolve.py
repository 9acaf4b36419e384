"""The resolver: tables of what it chooses and why, and one property over all that indexes could hold."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, sys_tags
from packaging.version import Version

from trtreg import compatibility, discovery, errors, manifest
from trtreg.environment import Environment, Gpu
from trtreg.flavour import Flavour
from trtreg.manifest import CreatorKey
from trtreg.packages import _release_fit, providers, resolve
from trtreg.packages._release_fit import Target, Wanted
from trtreg.packages.release import Release
from trtreg.packages.resolve import wish

MACHINE = Environment(
    flavour=Flavour.RTX,
    tensorrt_version="1.7.1",
    machine="x86_64",
    glibc="2.31",
    driver="580.65.06",
    cuda_driver="13.0",
    gpus=(Gpu(index=0, name="H200", sm="9.0"),),
)
TAGS = tuple(
    Tag("py3", "none", platform)
    for platform in ("manylinux_2_31_x86_64", "manylinux_2_28_x86_64", "linux_x86_64", "any")
)
TARGET = Target(environment=MACHINE, python="3.11.7", tags=TAGS, trtreg="0.1.0")


def release(version="1.0", *ops, name="trtplugin-a", platform="manylinux_2_28_x86_64", build="", **changes):
    file = f"{name.replace('-', '_')}-{version}{build}-py3-none-{platform}.whl"
    made = Release(
        project=name,
        version=version,
        file=file,
        url=f"https://plugins.example/files/{file}",
        sha256="0" * 64,
        size=1,
        machine="x86_64",
        tensorrt={"rtx": ">=1.7"},
        ops=tuple(manifest.Creator(name=op, version="1") for op in ops),
    )
    return replace(made, **changes)


def plugin(name="trtplugin-a", version="1.0", ops=("A",), *, machine="x86_64", broken=False):
    made = manifest.Manifest(
        package=name,
        version=version,
        tensorrt={"rtx": ">=1.7"},
        library=manifest.Library(
            file="x.so", sha256="0" * 64, size=1, machine=machine,
            creators=tuple(manifest.Creator(name=op, version="1") for op in ops),
        ),
    )  # fmt: skip
    problem = errors.ManifestError("broken") if broken else None
    return discovery.InstalledPlugin(
        distribution=name, version=version, package="p", folder=".", manifest=None if broken else made, problem=problem
    )


def market(*releases):
    def of(project):
        return [one for one in releases if one.project == project]

    return of


def plan(*wanted, on=(), installed=(), target=TARGET, **options):
    wishes = [wish(one) if isinstance(one, str) else one for one in wanted or ["trtplugin-a"]]
    return resolve.resolve(wishes, releases=market(*on), installed=installed, target=target, **options)


def chosen(*wanted, **options):
    return {choice.release.project: choice.release.version for choice in plan(*wanted, **options).choices}


def passed(*wanted, **options):
    """Version and codes of the newer releases of the only choice."""
    found = plan(*wanted, **options)
    (one,) = (*found.choices, *found.kept)
    return [(over.version, [obstacle.code for obstacle in over.obstacles]) for over in one.passed_over]


# -- one package -------------------------------------------------------------------------------------------------------
NEWER = [
    ("yanked", {"yanked": ""}, "withdrawn by its publisher"),
    ("yanked", {"yanked": "it crashes"}, "withdrawn by its publisher: it crashes"),
    ("quarantined", {"status": "quarantined"}, "in quarantine"),
    ("python", {"requires_python": ">=3.12"}, "Python: found 3.11.7, expected >=3.12"),
    ("python", {"requires_python": "nonsense"}, "expected nonsense"),
    (
        "platform",
        {"file": "trtplugin_a-2.0-py3-none-manylinux_2_39_x86_64.whl"},
        "expected py3-none-manylinux_2_39_x86_64",
    ),
    ("platform", {"file": "trtplugin_a.whl"}, "is no name of a wheel"),
    ("trtreg", {"requires": ("trtreg>=0.2",)}, "found 0.1.0, expected >=0.2; upgrade trtreg"),
    ("trtreg", {"requires": ("???",)}, "cannot be read"),
    ("tensorrt-version", {"tensorrt": {"rtx": ">=1.8"}}, "found rtx 1.7.1, expected rtx >=1.8"),
    ("tensorrt-flavour", {"tensorrt": {"full": ">=10"}}, "found rtx 1.7.1, expected full >=10"),
    ("glibc", {"glibc": "2.34"}, "found 2.31, expected 2.34 or newer"),
    ("driver", {"cuda": "99.0"}, "one for CUDA 99.0"),
    ("gpu", {"cuda": "13.0", "sms": ("7.5",)}, "found H200 (sm 9.0), expected sm 7.5"),
]


@pytest.mark.parametrize(("code", "change", "text"), NEWER, ids=[text for _, _, text in NEWER])
def test_a_newer_release_that_does_not_fit_is_passed_over(code, change, text):
    found = plan(on=[release("1.0"), release("2.0", **change), release("0.9")])
    (choice,) = found.choices
    assert (choice.release.version, choice.action) == ("1.0", "install")
    (over,) = choice.passed_over
    assert (over.version, [obstacle.code for obstacle in over.obstacles]) == ("2.0", [code])
    assert text in str(over)


def test_every_reason_is_given():
    two = release("2.0", yanked="", tensorrt={"rtx": "<1"}, glibc="9.9", requires_python="<3")
    assert passed(on=[release("1.0"), two]) == [("2.0", ["yanked", "python", "tensorrt-version", "glibc"])]


@pytest.mark.parametrize(
    ("wanted", "versions", "options", "expected"),
    [
        ("trtplugin-a", ["1.0", "1.10", "1.9"], {}, "1.10"),  # as versions, not as text
        ("trtplugin-a<1.9", ["1.0", "1.10", "1.9"], {}, "1.0"),
        ("trtplugin-a==1.*", ["1.0", "2.0"], {}, "1.0"),
        ("trtplugin-a!=2.0", ["1.0", "2.0"], {}, "1.0"),
        ("Trtplugin_A", ["1.0"], {}, "1.0"),
        ("trtplugin-a", ["1.0", "2.0rc1"], {}, "1.0"),
        ("trtplugin-a", ["1.0", "2.0rc1"], {"pre": True}, "2.0rc1"),
        ("trtplugin-a", ["1.0rc1", "1.0.dev3"], {}, "1.0rc1"),  # there is nothing else
        ("trtplugin-a>=2.0rc1", ["1.0", "2.0rc1", "2.0rc2"], {}, "2.0rc2"),
        ("trtplugin-a", ["1.0", "1.0.post1"], {}, "1.0.post1"),
        ("trtplugin-a", ["1.0", "1!0.1"], {}, "1!0.1"),
    ],
)
def test_versions(wanted, versions, options, expected):
    assert chosen(wanted, on=[release(version) for version in versions], **options) == {"trtplugin-a": expected}


def test_a_pre_release_is_passed_over_with_the_way_to_have_it():
    assert passed(on=[release("1.0"), release("2.0rc1")]) == [("2.0rc1", ["pre-release"])]


def test_a_pre_release_alone_is_taken_where_no_other_fits_here():
    (choice,) = plan(on=[release("1.0", glibc="9.9"), release("0.9rc1")]).choices
    assert choice.release.version == "0.9rc1"
    assert "a pre-release" in choice.notes


@pytest.mark.parametrize(("wanted", "taken"), [("trtplugin-a==2.0", True), ("trtplugin-a===2.0", True),
                                               ("trtplugin-a==2.*", False), ("trtplugin-a>=2.0", False)])  # fmt: skip
def test_what_is_withdrawn_has_to_be_named(wanted, taken):
    on = [release("1.0"), release("2.0", yanked="it crashes")]
    if not taken:
        with pytest.raises(errors.NoFittingReleaseError, match="it crashes"):
            plan(wanted, on=on)
        return
    (choice,) = plan(wanted, on=on).choices
    assert (choice.release.version, choice.notes) == ("2.0", ("withdrawn by its publisher: it crashes",))


@pytest.mark.parametrize("status", ["archived", "deprecated"])
def test_a_project_that_is_over_gets_a_note(status):
    assert plan(on=[release("1.0", status=status)]).choices[0].notes == (f"the project is {status}",)


def test_of_several_files_the_best_one_is_taken():
    files = [
        release("1.0", platform=platform, build=build)
        for platform, build in (("any", ""), ("manylinux_2_28_x86_64", ""), ("manylinux_2_31_x86_64", ""),
                                ("manylinux_2_31_x86_64", "-2"), ("manylinux_2_31_x86_64", "-1"),
                                ("manylinux_2_39_x86_64", "-9"))
    ]  # fmt: skip
    (choice,) = plan(on=files).choices
    assert choice.release.file == "trtplugin_a-1.0-2-py3-none-manylinux_2_31_x86_64.whl"
    assert choice.passed_over == ()


def test_of_several_files_that_do_not_fit_the_nearest_is_explained():
    files = [release("2.0", platform="manylinux_2_28_aarch64", machine="aarch64"), release("2.0", glibc="9.9")]
    assert passed(on=[release("1.0"), *files]) == [("2.0", ["glibc"])]


def test_nothing_fits():
    on = [release(f"{n}.0", glibc="9.9") for n in range(1, 9)]
    with pytest.raises(errors.NoFittingReleaseError) as caught:
        plan(on=on)
    lines = str(caught.value).splitlines()
    assert lines[0] == "No release of trtplugin-a fits here, of 8:"
    assert lines[1].startswith("- trtplugin-a 8.0: glibc: found 2.31")
    assert lines[-1] == "- and 3 older versions"


def test_no_index_has_it():
    with pytest.raises(errors.UnknownPackageError, match="see `trtreg search`"):
        plan("nope")
    with pytest.raises(errors.UnknownPackageError, match="did you mean trtplugin-a"):
        plan("trtplugin-q", similar=lambda name: ["trtplugin-a"])


@pytest.mark.parametrize("text", ["", "a b", "a==", "a @ https://x.example/a.whl", "a[b]", "a; python_version > '3'"])
def test_what_names_no_package(text):
    with pytest.raises(errors.SettingError):
        wish(text)


def test_what_is_asked_twice_is_asked_at_once():
    on = [release("1.0"), release("2.0"), release("3.0")]
    assert chosen("trtplugin-a>1", "trtplugin-a<3", on=on) == {"trtplugin-a": "2.0"}


# -- what is installed -------------------------------------------------------------------------------------------------
def never(project):
    raise AssertionError(project)


def test_what_is_installed_and_does_asks_no_index():
    found = resolve.resolve([wish("trtplugin-a>=1")], releases=never, installed=[plugin()], target=TARGET)
    assert [(kept.project, kept.version) for kept in found.kept] == [("trtplugin-a", "1.0")]
    assert found.choices == ()


@pytest.mark.parametrize(
    ("installed", "wanted", "options", "action", "version"),
    [
        (plugin(), "trtplugin-a", {"upgrade": True}, "upgrade", "2.0"),
        (plugin(), "trtplugin-a>1", {}, "upgrade", "2.0"),
        (plugin(version="3.0"), "trtplugin-a<3", {}, "downgrade", "2.0"),
        (plugin(machine="mips"), "trtplugin-a", {}, "upgrade", "2.0"),
        (plugin(version="2.0", broken=True), "trtplugin-a", {}, "reinstall", "2.0"),
        (plugin(version="2.0", machine="mips"), "trtplugin-a", {}, "reinstall", "2.0"),
        (plugin(), Wanted(project="trtplugin-a", creators=frozenset([CreatorKey("B", "1")])), {}, "upgrade", "2.0"),
    ],
)
def test_what_is_installed_is_replaced(installed, wanted, options, action, version):
    on = [release("1.0", "A"), release("2.0", "A", "B")]
    (choice,) = plan(wanted, on=on, installed=[installed], **options).choices
    assert (choice.action, choice.release.version, choice.replaces) == (action, version, installed.version)


@pytest.mark.parametrize("on", [[release("0.9")], [release("1.0")], [release("2.0", glibc="9.9")], []])
def test_upgrade_never_goes_back(on):
    (kept,) = plan(on=on, installed=[plugin()], upgrade=True).kept
    assert kept.version == "1.0"
    assert [over.version for over in kept.passed_over] == [one.version for one in on if one.glibc]


# -- several packages --------------------------------------------------------------------------------------------------
def test_two_that_register_the_same_are_refused():
    on = [release("1.0", "Same"), release("1.0", "Same", name="trtplugin-b")]
    with pytest.raises(errors.ConflictingPluginsError) as caught:
        plan("trtplugin-a", "trtplugin-b", on=on)
    assert caught.value.message == "trtplugin-b 1.0 and trtplugin-a 1.0 both register the op Same 1"
    with pytest.raises(errors.ConflictingPluginsError, match=r"trtplugin-b 1\.0, which is installed, both register"):
        plan(on=on, installed=[plugin("trtplugin-b", ops=["Same"])])
    assert chosen("trtplugin-b", on=[], installed=[plugin("trtplugin-b", ops=["Same"])]) == {}


def test_another_version_or_namespace_is_no_conflict():
    other = manifest.Creator(name="Same", version="1", namespace="mine")
    later = manifest.Creator(name="Same", version="2")
    on = [release("1.0", "Same"), release("1.0", name="trtplugin-b", ops=(other, later))]
    assert chosen("trtplugin-a", "trtplugin-b", on=on) == {"trtplugin-a": "1.0", "trtplugin-b": "1.0"}


def test_an_installed_package_does_not_conflict_with_its_successor():
    assert chosen(on=[release("2.0", "A")], installed=[plugin()], upgrade=True) == {"trtplugin-a": "2.0"}


def test_requirements_on_other_plugins_are_followed():
    needs = "trtplugin-b<2"
    on = [
        release("1.0", requires=(needs, "numpy>=1", "trtplugin-c; extra == 'more'")),
        release("1.0", name="trtplugin-b", requires=("trtplugin-d",)),
        release("2.0", name="trtplugin-b"),
        release("1.0", name="trtplugin-c"),
        release("1.0", name="trtplugin-d"),
    ]
    found = plan(on=on)
    assert {c.release.project: c.because for c in found.choices} == {
        "trtplugin-a": ("named",),
        "trtplugin-b": ("required by trtplugin-a 1.0",),
        "trtplugin-d": ("required by trtplugin-b 1.0",),
    }
    assert chosen("trtplugin-a", on=on, installed=[plugin("trtplugin-b", "1.5", [])]) == {"trtplugin-a": "1.0"}
    with pytest.raises(errors.NoFittingReleaseError, match=r"No release of trtplugin-b<2,>1 fits"):
        plan("trtplugin-a", "trtplugin-b>1", on=on)


def test_requirements_in_a_circle():
    on = [release("1.0", requires=("trtplugin-b",)), release("1.0", name="trtplugin-b", requires=("trtplugin-a",))]
    assert chosen(on=on) == {"trtplugin-a": "1.0", "trtplugin-b": "1.0"}


# -- ops ---------------------------------------------------------------------------------------------------------------
def need(name, *namespaces):
    return providers.Need(keys=tuple(CreatorKey(name, "1", n) for n in namespaces or ("",)), title=f"{name} 1")


def for_ops(*needs, on, **options):
    def providing(key):
        return [one for one in on if one.provides(key)]

    arguments = {"providing": providing, "installed": (), "target": TARGET, **options}
    return {one.project: {key.name for key in one.creators} for one in providers.choose(needs, **arguments)}


SHARED = [
    release("1.0", "A", "Shared"),
    release("1.0", "B", "Shared", name="trtplugin-b"),
    release("1.0", "C", "Shared", name="trtplugin-c", glibc="9.9"),
]


@pytest.mark.parametrize(
    ("ops", "options", "expected"),
    [
        (["A"], {}, {"trtplugin-a": {"A"}}),
        (["A", "B"], {}, {"trtplugin-a": {"A"}, "trtplugin-b": {"B"}}),
        (["Shared", "B"], {}, {"trtplugin-b": {"Shared", "B"}}),  # it is needed anyhow
        (["Shared"], {"preferred": ["Trtplugin.B"]}, {"trtplugin-b": {"Shared"}}),
        (["Shared"], {"installed": [plugin("trtplugin-b", "0.1", [])]}, {"trtplugin-b": {"Shared"}}),
        (["Shared"], {"installed": [plugin("trtplugin-b")], "preferred": ["trtplugin-a"]}, {"trtplugin-a": {"Shared"}}),
        ([], {}, {}),
    ],
)
def test_who_provides_an_op(ops, options, expected):
    assert for_ops(*map(need, ops), on=SHARED, **options) == expected


def test_several_providers():
    with pytest.raises(errors.AmbiguousProviderError) as caught:
        for_ops(need("Shared"), on=SHARED)
    assert caught.value.found == "trtplugin-a, trtplugin-b", "the one that does not fit is none"


def test_an_op_without_a_provider():
    with pytest.raises(errors.UnsupportedNodesError, match="- Shred 1; did you mean Shared, Shed"):
        for_ops(replace(need("Shred"), nearest=("Shed",)), need("A"), on=SHARED, similar=lambda op: ["Shared"])
    with pytest.raises(errors.NoFittingReleaseError, match=r"op C 1 fits here:\n- trtplugin-c 1\.0: glibc"):
        for_ops(need("C"), on=SHARED)


def test_the_first_namespace_that_somebody_has():
    mine = release("1.0", ops=(manifest.Creator(name="X", version="1", namespace="mine"),))
    assert for_ops(need("X", "", "mine"), on=[mine]) == {"trtplugin-a": {"X"}}


def test_the_facts_of_this_python():
    target = _release_fit.read(MACHINE)
    assert target.environment is MACHINE
    assert target.tags == tuple(sys_tags())
    assert target.ranks[target.tags[0]] == 0
    assert Path(os.__file__).parent.name == f"python{'.'.join(target.python.split('.')[:2])}"


# -- the property ------------------------------------------------------------------------------------------------------
versions = st.builds(
    lambda major, minor, pre: f"{major}.{minor}{pre}",
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["", "", "rc1"]),
)
candidates = st.builds(
    release,
    versions,
    platform=st.sampled_from(["manylinux_2_28_x86_64", "manylinux_2_39_x86_64", "any"]),
    tensorrt=st.sampled_from([{"rtx": ">=1.7"}, {"rtx": ">=2"}, {"full": ">=10"}, {"rtx": "<2", "full": ">=10"}]),
    requires_python=st.sampled_from([None, ">=3.10", ">=3.12"]),
    glibc=st.sampled_from([None, "2.28", "2.34"]),
    sms=st.sampled_from([(), ("9.0",), ("7.5",)]),
    yanked=st.sampled_from([False, False, "reason"]),
    status=st.sampled_from(["active", "active", "archived", "quarantined"]),
)
specifiers = st.sampled_from(["", ">=1", "<2.1", "==1.1", "~=2.0", ">=1.0rc1", "!=3.3"])


def fits(one, specifier):
    """Whether a release may be installed: written again, from the rules."""
    return (
        SpecifierSet(specifier).contains(one.version, prereleases=True)
        and (one.yanked is False or (specifier == "==1.1" and one.version == "1.1"))
        and one.status != "quarantined"
        and one.requires_python != ">=3.12"
        and "2_39" not in one.file
        and isinstance(compatibility.judge(one.manifest(), MACHINE), compatibility.Compatible)
    )


@settings(max_examples=300, deadline=None)
@given(on=st.lists(candidates, max_size=12), specifier=specifiers, pre=st.booleans())
def test_the_choice_fits_and_nothing_newer_that_fits_is_passed_over(on, specifier, pre):
    usable = [one for one in on if fits(one, specifier)]
    if not (pre or "rc" in specifier):
        usable = [one for one in usable if not Version(one.version).is_prerelease] or usable
    if not usable:
        with pytest.raises(errors.UnknownPackageError if not on else errors.NoFittingReleaseError):
            plan(f"trtplugin-a{specifier}", on=on, pre=pre)
        return
    (choice,) = plan(f"trtplugin-a{specifier}", on=on, pre=pre).choices
    best = max(Version(one.version) for one in usable)
    assert choice.release in usable
    assert Version(choice.release.version) == best
    newer = {Version(one.version) for one in on if Version(one.version) > best}
    assert {Version(over.version) for over in choice.passed_over} == newer
    assert all(over.obstacles for over in choice.passed_over)
