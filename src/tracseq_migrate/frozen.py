"""Dataclasses that cost little to define.

`dataclasses.dataclass` compiles half a dozen functions a class, at import: about half a millisecond, most of it for functions
that are never called. Over a hundred small classes that was a fifth of the start of every command. `frozen` gives the same class,
with slots, and `slotted` one that can be changed; what can be shared is written once, and the one function that is worth being
compiled, ``__init__``, is so where more than a few instances are made. `dataclasses.replace`, `fields`, `asdict` and patterns
work as they do on any dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")
_FEW = 8
"""Instances of a class that are filled in one field at a time: compiling is as slow as making some thirty of them."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A dataclass as the standard library makes it, to take from what is the same in all of them."""

    one: int


@dataclass(slots=True)
class _Changeable:
    one: int


_PARAMETERS = _Pattern.__dataclass_params__  # type: ignore[attr-defined]  # there at run time
_CHANGEABLE = _Changeable.__dataclass_params__  # type: ignore[attr-defined]  # there at run time
_ORDINARY = _Pattern.__dataclass_fields__["one"]._field_type  # type: ignore[attr-defined]  # there at run time


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """The class as ``dataclass(frozen=True, slots=True)`` makes it.

    Annotations must be strings (``from __future__ import annotations``). ``__post_init__``, ``InitVar`` and keyword-only fields
    are not there.
    """
    return _made(cls, _FROZEN, _PARAMETERS, _hash)


@dataclass_transform(field_specifiers=(field,))
def slotted(cls: type[T]) -> type[T]:
    """The class as ``dataclass(slots=True)`` makes it: compared by value, not to be hashed. Otherwise as `frozen`."""
    return _made(cls, _SHARED, _CHANGEABLE, None)


def _made(
    cls: type[T], shared: dict[str, Any], parameters: Any, hashed: Callable[[Any], int] | None
) -> type[T]:
    fields: dict[str, Field[Any]] = {}
    for base in cls.__mro__[-1:0:-1]:
        fields |= getattr(base, "__dataclass_fields__", {})
    inherited = set(fields)
    body = dict(cls.__dict__)
    own = []
    for name, annotation in body.get("__annotations__", {}).items():
        if annotation.startswith(("ClassVar", "typing.ClassVar")):
            continue
        default = body.pop(name, MISSING)
        one: Field[Any] = default if isinstance(default, Field) else field(default=default)
        one.name, one.type = name, annotation
        one._field_type = _ORDINARY  # type: ignore[attr-defined]  # what `dataclasses.fields` goes by
        fields[name] = one
        own.append(name)
    for name in ("__dict__", "__weakref__"):
        body.pop(name, None)
    for name, member in shared.items():
        body.setdefault(name, member)
    body |= {
        "__slots__": tuple(name for name in own if name not in inherited),
        "__dataclass_fields__": fields,
        "__dataclass_params__": parameters,
        "__match_args__": tuple(name for name, one in fields.items() if one.init),
        "__qualname__": cls.__qualname__,
        "_compared": staticmethod(_getter([name for name, one in fields.items() if one.compare])),
    }
    body["__hash__"] = body.get("__hash__") or hashed  # a class with an __eq__ of its own has None there
    meta: Callable[..., type[T]] = type(cls)
    made = meta(cls.__name__, cls.__bases__, body)
    if "__init__" not in cls.__dict__:
        type.__setattr__(made, "__init__", _first(made, fields))  # it takes its own place at the first call
    return made


def _getter(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _first(cls: type[Any], fields: dict[str, Field[Any]]) -> Callable[..., None]:
    count = 0

    def __init__(self: Any, *given: Any, **named: Any) -> None:  # noqa: N807 - the name that tracebacks show
        nonlocal count
        count += 1
        if count > _FEW or not _filled(self, fields, given, named):
            real = cls.__init__ = _compiled(cls, fields)
            real(self, *given, **named)

    return __init__


def _filled(self: Any, fields: dict[str, Field[Any]], given: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Fill an instance in; False where the arguments do not fit, which the compiled ``__init__`` says in Python's own words."""
    names = [name for name, one in fields.items() if one.init]
    if len(given) > len(names) or not named.keys() <= set(names[len(given) :]):
        return False
    values = dict(zip(names, given, strict=False)) | named
    for name, one in fields.items():
        if name in values:
            value = values[name]
        elif one.default_factory is not MISSING:
            value = one.default_factory()
        elif one.default is not MISSING:
            value = one.default
        else:
            return False
        object.__setattr__(self, name, value)
    return True


def _compiled(cls: type[Any], fields: dict[str, Field[Any]]) -> Callable[..., None]:
    """The ``__init__`` of a class: each value goes straight into its slot."""
    names: dict[str, Any] = {"_MADE": MISSING}
    parameters, lines = [], []
    for name, one in fields.items():
        names[f"_set_{name}"] = _slot(cls, name).__set__
        value = name
        if one.default_factory is not MISSING:
            names[f"_make_{name}"] = one.default_factory
            value = f"_make_{name}() if {name} is _MADE else {name}" if one.init else f"_make_{name}()"
            default = "=_MADE"
        elif one.default is not MISSING:
            names[f"_default_{name}"] = one.default
            value = name if one.init else f"_default_{name}"
            default = f"=_default_{name}"
        else:
            default = ""
        if one.init:
            parameters.append(name + default)
        lines.append(f"    _set_{name}(self, {value})\n")
    source = f"def __init__({', '.join(['self', *parameters])}):\n{''.join(lines) or '    pass'}\n"
    exec(source, names)  # noqa: S102 - made of the names of fields alone, as `dataclasses` does it
    made: Callable[..., None] = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _slot(cls: type[Any], name: str) -> Any:
    return next(base.__dict__[name] for base in cls.__mro__ if name in getattr(base, "__slots__", ()))


def _equal(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self._compared(self) == self._compared(other)


def _hash(self: Any) -> int:
    return hash(self._compared(self))


def _shown(self: Any) -> str:
    shown = ", ".join(
        f"{name}={getattr(self, name)!r}" for name, one in self.__dataclass_fields__.items() if one.repr
    )
    return f"{self.__class__.__qualname__}({shown})"


def _refused(self: Any, name: str, value: object = None) -> NoReturn:
    raise FrozenInstanceError(f"cannot change field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__dataclass_fields__]


def _restored(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, value)


_SHARED: dict[str, Any] = {"__eq__": _equal, "__repr__": _shown}
_FROZEN = _SHARED | {
    "__setattr__": _refused,
    "__delattr__": _refused,
    "__getstate__": _state,
    "__setstate__": _restored,
}
