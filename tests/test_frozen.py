"""`frozen` classes behave as frozen dataclasses with slots do."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar

import pytest

from tracseq_migrate.frozen import frozen, slotted


@frozen
class Ours:
    """What is measured against `Theirs`."""

    limit: ClassVar[int] = 3
    name: str
    count: int = 3
    tags: list[str] = field(default_factory=list, compare=False, repr=False)

    def twice(self) -> int:
        return self.count * 2


@dataclass(frozen=True, slots=True)
class Theirs:
    """The same by the standard library."""

    limit: ClassVar[int] = 3
    name: str
    count: int = 3
    tags: list[str] = field(default_factory=list, compare=False, repr=False)


@frozen
class Below(Ours):
    more: str = "x"


@frozen
class Empty:
    pass


@slotted
class Changing:
    """What is measured against `TheirsChanging`."""

    name: str
    count: int = 3
    tags: list[str] = field(default_factory=list)
    drawn: int = field(default=7, init=False)


@dataclass(slots=True)
class TheirsChanging:
    """The same by the standard library."""

    name: str
    count: int = 3
    tags: list[str] = field(default_factory=list)
    drawn: int = field(default=7, init=False)


def test_they_are_made_shown_and_compared_alike() -> None:
    given: list[dict[str, Any]] = [{"name": "a"}, {"name": "a", "count": 4}, {"name": "b", "tags": ["t"]}]
    for named in given:
        ours, theirs = Ours(**named), Theirs(**named)
        assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
        assert asdict(ours) == asdict(theirs)
        assert [f.name for f in fields(ours)] == [f.name for f in fields(theirs)]
    assert Ours("a", 4, ["t"]) == Ours(name="a", count=4)
    assert Ours("a", tags=["t"]) == Ours("a")
    assert hash(Ours("a", tags=["t"])) == hash(Ours("a"))
    assert Ours("a") != Ours("b")
    assert Ours("a") != Below("a")
    assert Ours.__match_args__ == Theirs.__match_args__
    assert is_dataclass(Ours)
    assert Empty() == Empty()
    assert repr(Empty()) == "Empty()"


@pytest.mark.parametrize("arguments", [{}, {"name": "a", "other": 1}])
def test_wrong_arguments_are_refused_as_they_are_there(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as theirs:
        Theirs(**arguments)
    with pytest.raises(TypeError) as ours:
        Ours(**arguments)
    assert str(ours.value) == str(theirs.value).replace("Theirs", "Ours")


def test_each_instance_has_a_default_of_its_own() -> None:
    one, other = Ours("a"), Ours("b")
    one.tags.append("t")
    assert other.tags == []
    assert (one.twice(), Ours.limit) == (6, 3)


def test_nothing_can_be_changed_or_added() -> None:
    one = Ours("a")
    for name in ("name", "stranger"):
        with pytest.raises(FrozenInstanceError, match=name):
            setattr(one, name, "b")
    with pytest.raises(FrozenInstanceError, match="name"):
        del one.name
    assert not hasattr(one, "__dict__")
    assert replace(one, name="b") == Ours("b")


def test_copies_and_pickles_are_equal() -> None:
    one = Below("a", 4, ["t"], "y")
    for made in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert made == one
        assert (made.tags, made.more) == (["t"], "y")
    assert copy.deepcopy(one).tags is not one.tags


def test_a_method_that_a_class_has_itself_stays() -> None:
    @frozen
    class Own:
        one: int

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return True

    assert repr(Own(1)) == "mine"
    assert Own(1) == Own(2)
    assert hash(Own(1)) == hash(Own(1))


def test_patterns_match() -> None:
    match Ours("a", 5):
        case Ours(name, count=5):
            assert name == "a"
        case _:
            pytest.fail("no match")


MANY = 20
"""More than are filled in before ``__init__`` is compiled."""


def test_the_first_are_made_as_the_many_after_them() -> None:
    made = [Ours("a", tags=[str(number)]) for number in range(MANY)]
    assert [asdict(each) for each in made] == [asdict(Theirs("a", tags=[str(n)])) for n in range(MANY)]
    refused: list[dict[str, Any]] = [{}, {"name": "a", "other": 1}, {"name": "a", "drawn": 1}]
    for _ in range(MANY):
        ours, theirs = Changing("a", 4), TheirsChanging("a", 4)
        assert repr(ours) == repr(theirs).replace("Theirs", "")
        assert asdict(ours) == asdict(theirs)
        assert Changing("b", tags=["t"]).tags == ["t"]
        for arguments in refused:
            with pytest.raises(TypeError):
                Changing(**arguments)
        with pytest.raises(TypeError):
            Changing("a", 1, [], 7)  # type: ignore[call-arg]  # one too many
        with pytest.raises(TypeError):
            Changing("a", name="b")  # type: ignore[misc]  # twice the same


def test_what_is_slotted_can_be_changed_and_copied_but_not_hashed() -> None:
    one, theirs = Changing("a"), TheirsChanging("a")
    one.count = theirs.count = 5
    one.tags.append("t")
    assert one != Changing("a")
    assert one == Changing("a", 5, ["t"])
    assert replace(one, name="b") == Changing("b", 5, ["t"])
    assert copy.deepcopy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert not hasattr(one, "__dict__")
    for each in (one, theirs):
        with pytest.raises(TypeError, match="unhashable"):
            hash(each)
        with pytest.raises(AttributeError):
            setattr(each, "other", 1)  # noqa: B010 - it has no such slot, which a type checker would say at once
