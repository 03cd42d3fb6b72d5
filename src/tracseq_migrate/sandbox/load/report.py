"""The report of a load: one JSON document, and the same as a table for people."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tracseq_migrate.errors import Exit
from tracseq_migrate.sandbox.load.connection import Kind
from tracseq_migrate.sandbox.load.ledger import Ledger, Row
from tracseq_migrate.sandbox.load.lookup import Finding, Found, Result
from tracseq_migrate.sandbox.load.ownership import Ownership
from tracseq_migrate.sandbox.load.resources import RESOURCES
from tracseq_migrate.sandbox.load.tally import Latency, Seen, Tally

FORMAT = "1.0"
_SAMPLES = 20
_SHOWN = 5
_WIDTH = 92
_FAILING = (Finding.LOST, Finding.WRONG, Finding.DOUBLED)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the load was asked to be."""

    gateway: str
    rate: float
    seconds: float
    mix: str | None
    clients: int
    seed: int


@dataclass(slots=True)
class Report:
    """All that is known when the load is over. ``trouble`` says why the look-up could not be made, if it could not."""

    asked: Asked
    started_at: str
    tally: Tally
    ledger: Ledger
    result: Result = field(default_factory=Result)
    ownership: Ownership | None = None
    trouble: str = ""
    signal: int = 0

    @property
    def unverified(self) -> int:
        """Rows about which nothing is known: looked for in vain, or not looked for at all."""
        return self.result.count(Finding.UNVERIFIED) + len(self.ledger) - self.result.rows

    @property
    def not_begun(self) -> int:
        """Failures of requests that no process had begun to handle, as far as can be told."""
        failures = self.tally.failures
        return (
            failures[Kind.REFUSED]
            + failures[Kind.RESET_REUSED]
            - self.result.done_after_all[Kind.RESET_REUSED]
        )

    @property
    def exit_code(self) -> int:
        """11 where an acknowledged write is lost, wrong or doubled; what could not be asked is not a pass either."""
        if any(self.result.count(finding) for finding in _FAILING):
            return Exit.DIFFERENT
        if self.signal:
            return 128 + self.signal
        return Exit.ERROR if self.unverified or self.trouble else Exit.DONE

    def document(self) -> dict[str, Any]:
        """The document that ``--json`` prints. Durations are seconds."""
        tally, result, asked = self.tally, self.result, self.asked
        return {
            "type": "load",
            "format": FORMAT,
            "gateway": asked.gateway,
            "started_at": self.started_at,
            "asked": {
                "rate": asked.rate,
                "seconds": asked.seconds,
                "mix": asked.mix,
                "clients": asked.clients,
                "seed": asked.seed,
            },
            "signal": self.signal or None,
            "seconds": round(tally.ended - tally.began, 3),
            "requests": tally.requests,
            "reads": tally.reads,
            "writes": tally.writes,
            "rate": round(tally.rate, 2),
            "unsent": tally.unsent,
            "given_up": tally.given_up,
            "failures": {
                "total": tally.failures.total(),
                "by_kind": {kind.value: tally.failures[kind] for kind in Kind},
                # Of the closed kept-alive connections: those where the other side's kernel said that nobody had read the
                # request, and those where the write turned out to be done, so that somebody had.
                "reused_unread": tally.reused_unread,
                "reused_done": result.done_after_all[Kind.RESET_REUSED],
                "before_any_process_began": self.not_begun,
                "samples": [_failure(seen, tally) for seen in tally.failed],
            },
            "not_found": {"reads": tally.missing_reads, "writes": tally.missing_writes},
            "connections": {"opened": tally.opened, "closed_idle": tally.closed_idle},
            "latency": {
                "reads": _latency(tally.latency(write=False)),
                "writes": _latency(tally.latency(write=True)),
            },
            "longest_without_success": round(tally.longest_without_success, 4),
            "unavailable": {prefix: round(seconds, 4) for prefix, seconds in tally.unavailable.items()},
            "acknowledged": self.ledger.acknowledged,
            "unknown": self.ledger.unknown,
            "unknown_done": result.done_after_all.total(),
            "rows": len(self.ledger),
            "verified": {"both": result.verified, "gateway": result.through_gateway, "sql": result.by_sql},
            "lost": result.count(Finding.LOST),
            "wrong": result.count(Finding.WRONG),
            "doubled": result.count(Finding.DOUBLED),
            "on_the_other_side": result.count(Finding.ELSEWHERE),
            "unverified": self.unverified,
            "trouble": self.trouble or None,
            "owners": self._owners(),
            "findings": [_finding(found) for found in self._samples(_SAMPLES)],
            "exit": int(self.exit_code),
        }

    def text(self) -> str:
        """The same for people: a short table, and below it what was found."""
        tally, result, ledger = self.tally, self.result, self.ledger
        failures = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.failures.items()))
        not_found = tally.missing_reads + tally.missing_writes
        unsent = f"; {tally.unsent:,} never sent, all clients were busy" if tally.unsent else ""
        stranded = result.count(Finding.ELSEWHERE)
        lines = [
            self._title(),
            "",
            _line("requests", f"{tally.requests:,}", f"{tally.reads:,} reads, {tally.writes:,} writes"),
            _line("rate", f"{tally.rate:.1f}/s", f"asked for {self.asked.rate:g}/s{unsent}"),
            _line("failures", f"{tally.failures.total():,}", failures),
            _line(
                "not found",
                f"{not_found:,}",
                "acknowledged rows that the side asked does not have" if not_found else "",
            ),
            _waits("reads", tally.latency(write=False)),
            _waits("writes", tally.latency(write=True)),
            _line("no success for", _time(tally.longest_without_success), "at the longest"),
            _outage(tally.unavailable),
            "",
            _line("acknowledged", f"{ledger.acknowledged:,}", f"writes, on {len(ledger):,} rows"),
            _line("verified", f"{result.verified:,}", "rows through the gateway and by SQL"),
            *self._sides(),
            _line("lost", f"{result.count(Finding.LOST):,}"),
            _line("wrong", f"{result.count(Finding.WRONG):,}"),
            _line("doubled", f"{result.count(Finding.DOUBLED):,}"),
            _line("other side", f"{stranded:,}", "stranded by a flip that moved no data" if stranded else ""),
            _line(
                "unknown",
                f"{ledger.unknown:,}",
                f"writes without an answer, {result.done_after_all.total():,} of them done"
                if ledger.unknown
                else "",
            ),
        ]
        if self.unverified or self.trouble:
            lines.append(_line("not verified", f"{self.unverified:,}", self.trouble))
        for found in self._samples(_SHOWN):
            lines += ["", *_told(found)]
        hidden = len(result.found) - min(len(result.found), _SHOWN)
        if hidden:
            lines += ["", f"{hidden:,} more; `--json` has up to {_SAMPLES}."]
        return "\n".join(lines)

    def _samples(self, most: int) -> list[Found]:
        order = list(Finding)
        return sorted(self.result.found, key=lambda found: order.index(found.finding))[:most]

    def _owners(self) -> dict[str, str | None]:
        """By prefix: the name of the database that owns it."""
        owners: dict[str, str | None] = {}
        if self.ownership is not None:
            for resource in RESOURCES.values():
                service = self.ownership.service_owns(resource.flag)
                owners[resource.prefix] = (
                    None if service is None else resource.database if service else "main"
                )
        return owners

    def _title(self) -> str:
        asked = self.asked
        ended = f", ended by {signal.Signals(self.signal).name}" if self.signal else ""
        return (
            f"load on {asked.gateway}: {asked.clients} clients, seed {asked.seed}, {asked.seconds:g} s{ended}"
        )

    def _sides(self) -> list[str]:
        new = [owner for owner in dict.fromkeys(self._owners().values()) if owner not in (None, "main")]
        return [_line("with services", f"{len(new):,}", ", ".join(map(str, new)))] if new else []


def _line(name: str, figure: str, remark: str = "") -> str:
    return f"{name:<15}{figure:>10}  {remark}".rstrip()


def _waits(name: str, latency: Latency) -> str:
    figures = f"p95 {_time(latency.p95)}, p99 {_time(latency.p99)}, max {_time(latency.max)}"
    return _line(f"{name}, p50", _time(latency.p50), figures if latency.count else "none")


def _outage(unavailable: Mapping[str, float]) -> str:
    hit = {prefix: seconds for prefix, seconds in unavailable.items() if seconds}
    worst = max(hit, key=hit.__getitem__, default="")
    others = f", and {len(hit) - 1} other prefixes less long" if len(hit) > 1 else ""
    return _line(
        "unavailable for", _time(hit.get(worst, 0.0)), f"at the longest: {worst}{others}" if hit else ""
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _latency(latency: Latency) -> dict[str, float]:
    figures = {"p50": latency.p50, "p95": latency.p95, "p99": latency.p99, "max": latency.max}
    return {"count": latency.count, **{name: round(value, 6) for name, value in figures.items()}}


def _failure(seen: Seen, tally: Tally) -> dict[str, Any]:
    return {
        "after": round(seen.ended - tally.began, 3),
        "kind": seen.kind,
        "method": seen.method,
        "path": seen.path,
        "why": seen.why,
    }


def _expected(row: Row) -> Any:
    acceptable = row.acceptable
    return acceptable[0] if len(acceptable) == 1 else {"one of": acceptable}


def _finding(found: Found) -> dict[str, Any]:
    return {
        "finding": found.finding,
        "resource": found.row.resource,
        "key": found.row.key,
        "acknowledged_at": found.row.acknowledged_at or None,
        "why": found.why,
        "expected": _expected(found.row),
        "found": {place: list(rows) if rows is not None else None for place, rows in found.seen.items()},
    }


def _told(found: Found) -> list[str]:
    row = found.row
    expected = _expected(row)
    lines = [
        f"{found.finding}: {row.resource} {row.key!r}, {found.why}",
        f"  {'acknowledged':<13}{row.acknowledged_at or 'never'}",
        f"  {'expected':<13}{_short(expected)}",
    ]
    for place, rows in found.seen.items():
        if rows is None:
            told = "could not be asked"
        elif len(rows) == 1:
            told = _differing(rows[0], expected)
        else:
            told = _short(list(rows)) if rows else "nothing"
        lines.append(f"  {place:<13}{told}")
    return lines


def _differing(there: Mapping[str, Any], expected: Any) -> str:
    """Only the fields in which a row is not as expected."""
    if not isinstance(expected, Mapping) or "one of" in expected:
        return _short(there)
    fields = [name for name in {**expected, **there} if there.get(name) != expected.get(name)]
    return _short({name: there.get(name) for name in fields}) if fields else "as expected"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{name}={part!r}" for name, part in value.items())
    else:
        text = "nothing" if value is None else repr(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
