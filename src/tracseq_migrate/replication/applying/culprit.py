"""Which row it is that cannot be applied: the log is tried by halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.applying.reading import Span
from tracseq_migrate.replication.capture.recording import log_table
from tracseq_migrate.replication.pair import Pair, Replication


class Culprit:
    """Looks for the first log row whose row does not fit, by trying ever smaller parts of the log.

    Args:
        fits: whether some spans could be applied; changes nothing.
        origin: has the log.
    """

    def __init__(
        self, fits: Callable[[Sequence[Span]], bool], origin: Session, replication: Replication
    ) -> None:
        self._fits = fits
        self._origin = origin
        self._replication = replication

    def of(self, spans: Sequence[Span]) -> tuple[Pair, str] | None:
        """Its pair and its key as text; None where no single row is at fault, or it has been mended meanwhile."""
        for span in spans:
            low, high = span.lows[0], span.highs[-1]
            if self._fits([_part(span, low, high)]):
                continue
            while low < high:
                middle = (low + high) // 2
                if self._fits([_part(span, low, middle)]):
                    low = middle + 1
                else:
                    high = middle
            key = self._key(span.pair, low)
            if key and not self._fits([_part(span, low, low)]):
                return span.pair, key
        return None

    def _key(self, pair: Pair, seq: int) -> str:
        columns = ", ".join(f"key_{number}::text" for number in range(1, len(pair.key_a) + 1))
        found = self._origin.rows(
            f"SELECT ARRAY[{columns}] FROM {log_table(self._replication, pair)} WHERE seq = {seq}"
        )
        return ", ".join(map(str, found[0][0])) if found else ""


def _part(span: Span, low: int, high: int) -> Span:
    return Span(span.pair, high - low + 1, (low,), (high,), whole=False, oldest=span.oldest, rest=0)
