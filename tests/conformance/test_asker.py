"""The contract of an `Asker`, on the fake that other tests answer with."""

from __future__ import annotations

import pytest

from tracseq_migrate.adapters.memory.people import MemoryAsker
from tracseq_migrate.errors import Declined
from tracseq_migrate.ports import Asker


def test_answers_come_in_order_and_then_the_input_ends() -> None:
    fake = MemoryAsker([True, "because", False])
    asker: Asker = fake
    assert asker.present
    assert asker.confirm("Go?") is True
    assert asker.text("Why?") == "because"
    assert asker.confirm("Sure?") is False
    with pytest.raises(Declined):
        asker.confirm("Still there?")
    assert fake.asked == ["Go?", "Why?", "Sure?", "Still there?"]


def test_nobody_is_present() -> None:
    asker: Asker = MemoryAsker()
    assert not asker.present
    with pytest.raises(Declined):
        asker.text("Anybody?")
