import pytest

from trtreg.errors import ConflictingPluginsError
from trtreg.manifest import CreatorKey
from trtreg.packages import conflicts
from trtreg.preferences import Preferences

A, B, C = (CreatorKey(name, "1") for name in "ABC")


def test_every_creator_in_common_is_told_at_once():
    with pytest.raises(ConflictingPluginsError) as caught:
        conflicts.refuse({"trtplugin-a 1.0": [A, B], "trtplugin-b 2.0": [A, B, C]}, ())
    assert caught.value.message.splitlines() == [
        "Packages would register the same ops",
        "- trtplugin-b 2.0 and trtplugin-a 1.0 both register the op A 1",
        "- trtplugin-b 2.0 and trtplugin-a 1.0 both register the op B 1",
    ]
    assert '"A 1" = "trtplugin-b" in [prefer]' in caught.value.remedy


@pytest.mark.parametrize("winner", ["trtplugin-a", "trtplugin-b"])
def test_what_is_preferred_may_be_installed_beside_the_other(install, winner):
    there = install(b"", [A, B], "trtplugin-a")
    conflicts.refuse({"trtplugin-b 2.0": [A, C]}, [there], Preferences(winners={"A": winner}))


@pytest.mark.parametrize("winners", [{"A": "trtplugin-c"}, {"A": "tensorrt"}, {"B": "trtplugin-a"}])
def test_a_preference_for_somebody_else_does_not_help(install, winners):
    there = install(b"", [A, B], "trtplugin-a")
    with pytest.raises(ConflictingPluginsError, match="which is installed, both register the op A 1"):
        conflicts.refuse({"trtplugin-b 2.0": [A, C]}, [there], Preferences(winners=winners))
