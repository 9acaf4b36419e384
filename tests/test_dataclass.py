"""The classes that are made without `dataclasses` are as those that are made with it."""

import copy
import dataclasses
import pickle
from pprint import pformat

import pytest

from trtreg import _dataclass
from trtreg.manifest import Creator, Field, Library, Manifest


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Theirs:
    """A value."""

    first: int
    second: str = "two"
    third: tuple[int, ...] = ()

    @property
    def both(self):
        return f"{self.first} {self.second}"


@_dataclass.dataclass(frozen=True, kw_only=True, slots=True)
class Ours:
    """A value."""

    first: int
    second: str = "two"
    third: tuple[int, ...] = ()

    @property
    def both(self):
        return f"{self.first} {self.second}"


@_dataclass.dataclass(frozen=True, kw_only=True, slots=True)
class Others:
    """With the same values."""

    first: int
    second: str = "two"
    third: tuple[int, ...] = ()


@pytest.mark.parametrize("values", [{"first": 1}, {"first": 1, "second": "2"}, {"third": (3,), "first": []}])
def test_values(values):
    theirs, ours = Theirs(**values), Ours(**values)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert (ours.first, ours.second, ours.third, ours.both) == (theirs.first, theirs.second, theirs.third, theirs.both)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert [field.name for field in dataclasses.fields(ours)] == [field.name for field in dataclasses.fields(Theirs)]
    assert Ours.__doc__ == Theirs.__doc__
    assert Ours.__slots__ == Theirs.__slots__
    assert Ours.__module__ == Theirs.__module__
    for again in (copy.copy(ours), copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), dataclasses.replace(ours)):  # noqa: S301
        assert again == ours
        assert (again != ours) is False
    assert pformat(ours) == repr(ours)
    changed = dataclasses.replace(ours, second="other")
    assert changed.second == "other"
    assert changed != ours
    assert (ours == theirs, ours == 1, ours != theirs, ours == Others(**values)) == (False, False, True, False)


def test_equal_values_have_equal_hashes():
    assert hash(Ours(first=1, third=(2,))) == hash(Ours(third=(2,), first=1, second="two"))
    assert {Ours(first=1), Ours(first=1), Ours(first=2)} == {Ours(first=2), Ours(first=1)}
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ours(first=[]))


@pytest.mark.parametrize("kind", [Theirs, Ours])
def test_what_is_refused(kind):
    for values in ({}, {"second": "2"}, {"first": 1, "fourth": 4}, {"fourth": 4}):
        with pytest.raises(TypeError):
            kind(**values)
    with pytest.raises(TypeError):
        kind(1)
    value = kind(first=1)
    # With slots, that of dataclasses has had a TypeError for names that are not known.
    for change in (lambda: setattr(value, "first", 2), lambda: delattr(value, "first")):
        with pytest.raises(AttributeError):
            change()
    assert value.first == 1
    with pytest.raises(TypeError):
        dataclasses.replace(value, fourth=4)


def test_other_forms_are_refused():
    with pytest.raises(TypeError):
        _dataclass.dataclass(frozen=False, kw_only=True, slots=True)


def test_values_in_values():
    library = Library(file="x.so", sha256="", size=1, machine="m", creators=(Creator(name="X", version="1"),))
    manifest = Manifest(package="p", version="1", library=library)
    other = dataclasses.replace(manifest, library=dataclasses.replace(library, creators=()))
    assert manifest != other
    assert hash(library) == hash(copy.deepcopy(library))
    data = dataclasses.asdict(manifest)["library"]["creators"][0]
    assert data == {
        "name": "X", "version": "1", "namespace": "", "fields": (), "inputs": None, "outputs": None, "signatures": None,
    }  # fmt: skip
    assert isinstance(Field(name="a", type="b"), Field)
    assert dataclasses.is_dataclass(Field)
