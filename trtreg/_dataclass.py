"""`@dataclass(frozen=True, kw_only=True, slots=True)` without the module `dataclasses`.

That one imports `inspect`, and compiles the methods of each class: together twice what Python takes to start, where
`trtreg list` may take as long once more. Modules that it needs take this one; to type checkers both are the same.
What is made here is taken by `dataclasses.replace`, `fields` and `asdict`.
"""

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - exported to type checkers
    from typing import Any

__all__ = ["dataclass"]


class _Told:
    """What `dataclasses`, and others, know its classes by; made when one of them asks."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: "type[_Value]") -> "Any":
        from dataclasses import make_dataclass

        return vars(make_dataclass(owner.__name__, owner._names, frozen=True))[self._name]  # noqa: SLF001


class _Value:
    """The methods that all of them have."""

    __slots__ = ()
    __dataclass_fields__ = _Told("__dataclass_fields__")
    __dataclass_params__ = _Told("__dataclass_params__")

    _names: "tuple[str, ...]" = ()
    _defaults: "dict[str, Any]" = {}  # noqa: RUF012 - never written to
    _setters: "tuple[Any, ...]" = ()

    def __init__(self, **values: "Any") -> None:
        if self._defaults:
            values = {**self._defaults, **values}
        try:
            for name, put in self._setters:
                put(self, values[name])
        except KeyError as error:
            raise TypeError(f"{type(self).__name__}() is missing the argument {error}") from None
        if len(values) != len(self._names):
            unknown = ", ".join(values.keys() - {*self._names})
            raise TypeError(f"{type(self).__name__}() takes no argument {unknown}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete field {name!r}")

    def __getstate__(self) -> "tuple[Any, ...]":
        return tuple([getattr(self, name) for name in self._names])

    def __setstate__(self, state: "tuple[Any, ...]") -> None:
        for (_, put), value in zip(self._setters, state, strict=True):
            put(self, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        return hash(self.__getstate__())

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__qualname__}({values})"


if not TYPE_CHECKING:

    def dataclass(*, frozen: bool, kw_only: bool, slots: bool):  # noqa: ANN202 - as dataclasses says
        """Make a class of values, in the only form that trtreg has."""
        if not (frozen and kw_only and slots):
            raise TypeError("only frozen classes with slots, whose arguments are named")
        return _make


def _make(cls: type) -> type:
    body = dict(vars(cls))
    names = tuple(cls.__annotations__)
    defaults = {name: body.pop(name) for name in names if name in body}
    # A class gets its slots when it is made, so it is made anew.
    for name in ("__dict__", "__weakref__"):
        body.pop(name, None)
    made: Any = type(cls)(cls.__name__, (_Value,), {**body, "__slots__": names, "_names": names, "_defaults": defaults})
    made.__qualname__ = cls.__qualname__
    setters = [(name, vars(made)[name].__set__) for name in names]
    made._setters = tuple(setters)  # noqa: SLF001
    return made  # type: ignore[no-any-return]
