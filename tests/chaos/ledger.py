"""What was tried, when, on which source, and what came of it: one line of JSON a case, only ever appended."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


def source_digest() -> str:
    """Names the program that was tried: every source file and every shipped plan, and nothing else."""
    digest = hashlib.sha256()
    for folder, pattern in (("src", "*.py"), ("weeks", "*.yaml")):
        for path in sorted((ROOT / folder).rglob(pattern)):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Line:
    """One case, carried out once."""

    suite: str
    case: str
    source: str
    at: str
    seconds: float
    passed: bool
    tried: int = 1
    counts: dict[str, int] = field(default_factory=dict)
    wrong: str = ""


class Ledger:
    """The file. Several processes may append at once: a line is one write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: Line) -> None:
        """Add a line, durably."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(line), ensure_ascii=False, sort_keys=True) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lines(self, suite: str) -> Iterator[Line]:
        """The lines of a suite, oldest first; one that a crash tore is left out."""
        if not self.path.exists():
            return
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                line = Line(**json.loads(text))
            except (ValueError, TypeError):
                continue
            if line.suite == suite:
                yield line

    def passed(self, suite: str, source: str | None) -> set[str]:
        """The cases that passed with this source, or with any (None): they need not be tried again."""
        return {line.case for line in self.lines(suite) if line.passed and source in (None, line.source)}

    def summary(self, suite: str) -> str:
        """What all runs came to, in words."""
        lines = list(self.lines(suite))
        counts: Counter[str] = Counter()
        for line in lines:
            counts.update(line.counts)
        failed = sum(not line.passed for line in lines)
        tried = sum(line.tried for line in lines)
        parts = [f"{len(lines):,} cases, {tried:,} tries, {failed:,} failed"]
        parts += [f"{name}: {number:,}" for name, number in sorted(counts.items())]
        return f"{suite}: " + "; ".join(parts)
