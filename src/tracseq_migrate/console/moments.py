"""Moments as people read them: RFC 3339 in UTC, to the second, with how far away they are where that helps."""

from __future__ import annotations

from datetime import UTC, datetime

from tracseq_migrate import duration


def moment(at: datetime) -> str:
    """``2026-11-23T15:43:58Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(at: datetime, now: datetime) -> str:
    """``2026-11-23T15:43:58Z (5m ago)``; for the future ``(in 5m)``."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return f"{moment(at)} (now)"
    away = duration.show(float(round(abs(seconds)))) if abs(seconds) < 60 else duration.show(abs(seconds))
    away = away.replace(".0 s", " s")
    return f"{moment(at)} ({away} ago)" if seconds > 0 else f"{moment(at)} (in {away})"


def left(until: datetime | str, now: datetime) -> str:
    """``until 2026-11-23T15:43:58Z (in 5m)``; a text that is no moment is shown as it is."""
    if isinstance(until, str):
        try:
            until = datetime.fromisoformat(until)
        except ValueError:
            return f"until {until}"
    return f"until {ago(until if until.tzinfo else until.replace(tzinfo=UTC), now)}"


def spent(seconds: float) -> str:
    """How long something takes so far: whole seconds, since it changes while one looks."""
    return f"{int(seconds)} s" if seconds < 60 else duration.show(seconds)
