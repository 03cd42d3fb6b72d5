"""Durations: as people write them, as people read them, and back again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tracseq_migrate import duration
from tracseq_migrate.duration import Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("90s", 90.0),
        ("2m", 120.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("48h", 172800.0),
        ("2d", 172800.0),
        ("1d1h1m1s1ms", 90061.001),
    ],
)
def test_written(text: str, seconds: float) -> None:
    assert duration.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "m", "-5s", "5min", "5S", "1h 30m", ".5s", "5.s", "1e3s", "٣s", "5s\n", "s5"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write it with units"):
        duration.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 ms"),
        (0.0004, "0.4 ms"),
        (0.0123, "12 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (3.21, "3.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1m"),
        (125, "2m 5s"),
        (3599.6, "1h"),
        (3600, "1h"),
        (5400, "1h 30m"),
        (100800, "1d 4h"),
        (172800, "2d"),
        (-125, "-2m 5s"),
    ],
)
def test_read_by_a_person(seconds: float, text: str) -> None:
    assert duration.show(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "90s"), (120, "2m"), (3600, "1h"), (86400, "1d"), (0.25, "250ms"), (1.5, "1.5s")],
)
def test_short_forms(seconds: float, text: str) -> None:
    assert duration.write(seconds) == text


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_what_is_written_reads_back_exactly(seconds: float) -> None:
    assert duration.parse(duration.write(seconds)) == seconds


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_people_never_see_sixty_seconds_or_sixty_minutes(seconds: float) -> None:
    shown = duration.show(seconds)
    for wrong in (" 60s", " 60m", "60.0 s", "24h", "60m "):
        assert wrong not in shown


class _Model(BaseModel):
    wait: Duration


def test_in_a_model() -> None:
    model = _Model.model_validate({"wait": "1m30s"})
    assert model.wait == 90.0
    assert model.model_dump(mode="json") == {"wait": "90s"}
    assert _Model.model_validate(model.model_dump(mode="json")) == model


@pytest.mark.parametrize("value", [5, 5.0, True, None, ["5s"], "5"])
def test_a_bare_number_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="unit"):
        _Model.model_validate({"wait": value})
