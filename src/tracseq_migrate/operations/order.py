"""The order of weeks: what a week needs, and what stands on it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tracseq_migrate.journal.replay import State, WeekState, WeekStatus
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.ports import LeaseInfo

STANDING = frozenset({WeekStatus.SOAKING, WeekStatus.PROVEN, WeekStatus.COMPLETED})
"""The states of a week that another may build on."""


def standing_on(state: State, week: str) -> list[WeekState]:
    """Weeks that must go back before this one: in force, and begun after it or needing it; newest first."""
    this = state.week(week)
    found = []
    for other in state.weeks.values():
        if other.week == week or not other.status.applied or not other.run_id:
            continue
        needs = {need.get("week") for need in other.plan.get("needs", []) if isinstance(need, dict)}
        # A week that is not in force has no place in the order: only who needs it stands on it.
        later = this.status.applied and bool(this.begun) and other.begun > this.begun
        if later or week in needs:
            found.append(other)
    return sorted(found, key=lambda w: w.begun, reverse=True)


def missing_needs(state: State, plan: WeekPlan) -> list[tuple[str, WeekStatus]]:
    """The weeks that this one needs and that do not stand, with the state that they are in."""
    return [
        (need.week, state.week(need.week).status)
        for need in plan.needs
        if state.week(need.week).status not in STANDING
    ]


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What changed between the journaled plan and the present one, as a diff of their parsed content."""
    texts = [
        json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
        for document in (before, after)
    ]
    lines: Sequence[str] = list(
        difflib.unified_diff(texts[0], texts[1], "as it was run", "as it is now", n=1, lineterm="")
    )
    return "\n".join(lines)


def shown(state: WeekState, lock: LeaseInfo | None) -> WeekStatus:
    """The state of a week as people see it: a run that nobody holds the lease for is in doubt."""
    if state.status is WeekStatus.RUNNING and lock is None:
        return WeekStatus.IN_DOUBT
    return state.status
