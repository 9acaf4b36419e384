"""Plans are pure: packages here are manifests only, and nothing is loaded."""

import pytest
from manifests import describe

from trtreg.collision import Holder, holder_of
from trtreg.discovery import InstalledPlugin
from trtreg.errors import AlreadyRegisteredError, CreatorConflictError
from trtreg.load_choice import choose, passed_over
from trtreg.load_plan import make
from trtreg.manifest import CreatorKey
from trtreg.preferences import Preferences

X, Y, Z = (CreatorKey(name, "1") for name in "XYZ")
X2 = X._replace(version="2")
OWN = Holder(kind="tensorrt", name="TensorRT 11", place="/lib/libnvinfer_plugin.so.11")


def package(name, *keys):
    return InstalledPlugin(
        distribution=name,
        version="1.0",
        package=name,
        folder=f"/site/{name}",
        manifest=describe(b"", keys, name),
        problem=None,
    )


A, B, C = package("a", X, Y), package("b", X, Z), package("c", Y)


def prefer(**winners):
    return Preferences(winners={name.replace("_", " "): winner for name, winner in winners.items()}, origin="TOLD")


def outcomes(plan):
    return {str(one.key): one.outcome for one in plan.collisions}


def names(plan):
    return [plugin.distribution for plugin in plan.load], [plugin.distribution for plugin in plan.left_out]


def test_packages_that_have_nothing_in_common_do_not_collide():
    plan = make([B, C])
    assert names(plan) == (["b", "c"], [])
    assert plan.collisions == ()
    assert plan.require("it") == (B, C)


def test_another_version_or_namespace_is_another_creator():
    spaced = package("d", X2, X._replace(namespace="space"))
    assert make([A, spaced]).collisions == ()


# -- where all are needed --------------------------------------------------------------------------------------------
def test_two_that_are_needed_and_have_one_creator_in_common_are_refused_with_what_each_is_for():
    plan = make([A, B], needed={Y: A, Z: B})
    with pytest.raises(CreatorConflictError) as caught:
        plan.require("m.onnx")
    assert isinstance(caught.value, AlreadyRegisteredError)
    text = str(caught.value)
    assert text.startswith(
        "The plugins for m.onnx cannot be loaded together\n- a 1.0 (/site/a/libplugin.so) and b 1.0 ("
    )
    assert "both have X 1: TensorRT takes a library whole or not at all, and a is needed for Y 1, b is needed" in text
    assert (
        "for Z 1; no preference helps while both are needed: use releases of a and b of which only one has X 1" in text
    )
    (collision,) = caught.value.collisions
    assert (collision.key, collision.outcome) == (X, "undecided")


def test_every_collision_is_told_at_once():
    three = package("d", X, Y, Z)
    plan = make([A, B, three], needed={X: A, Z: B, Y: three}, registered={Z: OWN})
    assert outcomes(plan) == {"X 1": "undecided", "Y 1": "undecided", "Z 1": "undecided"}
    with pytest.raises(CreatorConflictError) as caught:
        plan.require("it")
    assert [len(one.holders) for one in caught.value.collisions] == [3, 2, 3]
    assert "TensorRT 11 (/lib/libnvinfer_plugin.so.11) all have Z 1" in str(caught.value)


def test_a_preference_does_not_help_where_both_are_needed():
    (one,) = make([A, B], needed={Y: A, Z: B}, preferences=prefer(X="a")).problems
    assert one.outcome == "impossible"
    assert one.why.startswith(
        "TOLD prefers a for X 1, but TensorRT takes a library whole or not at all, and b is needed"
    )
    assert "no preference helps" in one.remedy


def test_tensorrts_own_and_a_package_that_is_needed_for_that_very_op():
    (one,) = make([A], needed={X: A}, registered={X: OWN}).problems
    assert one.outcome == "undecided"
    assert one.remedy == (
        'say who is to have it: "X 1" = "a" or "X 1" = "tensorrt" in [prefer] of the configuration file, '
        "or TRTREG_PREFER='X 1=a'"
    )


def test_tensorrts_own_and_a_package_that_is_needed_for_another_op():
    (one,) = make([A], needed={Y: A}, registered={X: OWN}).problems
    assert "a is needed for Y 1" in one.why
    assert "tensorrt" not in one.remedy, "that would keep all of the library out"


def test_a_preferred_package_has_tensorrts_own_set_aside():
    plan = make([A], needed={Y: A}, registered={X: OWN}, preferences=prefer(X="a"))
    assert outcomes(plan) == {"X 1": "set-aside"}
    assert plan.require("it") == (A,)


def test_what_is_left_to_tensorrt_and_needed_with_another_op_is_refused_whole():
    (one,) = make([A], needed={Y: A}, registered={X: OWN}, preferences=prefer(X_1="tensorrt")).problems
    assert one.outcome == "impossible"
    assert "TOLD prefers tensorrt for X 1, but TensorRT takes a library whole or not at all, and a is needed" in one.why


def test_a_package_that_is_loaded_stays():
    loaded = holder_of(A)
    for preferences in (prefer(), prefer(X="b")):
        (one,) = make([B], needed={Z: B}, registered={X: loaded}, preferences=preferences).problems
        assert one.remedy == "unload a first, or use a new process"
    assert make([A], needed={X: A}, registered={X: loaded, Y: loaded}).collisions == (), "it is itself"


def test_tensorrt_as_a_preference_is_not_somebody_elses_library():
    other = Holder(kind="process", name="a library of this process", place="/lib/other.so")
    (one,) = make([A], needed={X: A}, registered={X: other}, preferences=prefer(X="tensorrt")).problems
    assert one.outcome == "undecided"
    assert '"tensorrt"' not in one.remedy


# -- where each may be left out --------------------------------------------------------------------------------------
def test_the_first_is_loaded_where_nothing_is_said_and_the_other_told_with_all_that_goes():
    plan = make([A, B, C])
    assert names(plan) == (["a"], ["b", "c"])
    first, second = plan.problems
    assert first.why == (
        "nothing says which; b is left out, with all of X 1, Z 1: TensorRT takes a library whole or not at all"
    )
    assert second.key == Y
    with pytest.raises(CreatorConflictError):
        plan.require("all")


def test_what_is_preferred_is_loaded():
    plan = make([A, B, C], preferences=prefer(X="b"))
    assert names(plan) == (["b", "c"], ["a"])
    assert outcomes(plan) == {"X 1": "left-out", "Y 1": "left-out"}
    assert plan.collisions[1].why == "left out for another creator anyway: a"


def test_a_loser_keeps_nobody_out():
    plan = make([A, B], preferences=prefer(X="b"))
    assert (names(plan), plan.problems) == ((["b"], ["a"]), ())


def test_a_circle_of_preferences_leaves_the_first():
    two = package("d", X, Y)
    plan = make([A, two], preferences=prefer(X="a", Y="d"))
    assert names(plan) == (["a"], ["d"])


def test_tensorrts_own_stays_where_nothing_is_said():
    plan = make([A, B], registered={X: OWN})
    assert names(plan) == ([], ["a", "b"])
    (one,) = plan.problems
    assert '"X 1" = "a" or "X 1" = "b" or "X 1" = "tensorrt"' in one.remedy


def test_tensorrts_own_stays_where_it_is_preferred():
    plan = make([A, C], registered={X: OWN}, preferences=prefer(X="tensorrt"))
    assert names(plan) == (["c"], ["a"])
    assert plan.problems == ()


def test_libraries_in_an_engine_keep_nobody_out():
    own = Holder(kind="engine", name="a library in the engine", place="sha256 0123")
    plan = make([A], needed={Y: A}, embedded={X: own, Z: own})
    assert outcomes(plan) == {"X 1": "embedded"}
    assert plan.require("it") == (A,)


# -- which package ---------------------------------------------------------------------------------------------------
def test_of_several_the_first_is_taken_and_told():
    options = {X: [A, B]}
    chosen = choose(options)
    assert chosen == {X: A}
    (one,) = passed_over(options, chosen)
    assert one.told.endswith("both have X 1: nothing says which, so a is taken")
    assert '"X 1" = "a" or "X 1" = "b"' in one.remedy


def test_what_is_preferred_is_taken():
    options, preferences = {X: [A, B]}, prefer(X="b")
    chosen = choose(options, preferences)
    assert chosen == {X: B}
    (one,) = passed_over(options, chosen, preferences)
    assert (one.why, one.remedy) == ("TOLD prefers b for X 1", "")


def test_a_choice_that_collides_with_none_is_made_if_there_is_one():
    assert choose({X: [A, B], Z: [B]}) == {X: B, Z: B}
    assert choose({X: [A, B], Z: [B], Y: [A, C]}) == {X: B, Z: B, Y: C}


def test_many_choices_end():
    plugins = [package(f"p{i}", *(CreatorKey(f"Op{j}", "1") for j in range(30))) for i in range(30)]
    chosen = choose({CreatorKey(f"Op{j}", "1"): plugins for j in range(30)})
    assert {plugin.distribution for plugin in chosen.values()} == {"p0"}


def test_nothing_to_choose():
    assert choose({}) == {}
    assert passed_over({X: [A]}, {X: A}) == ()
