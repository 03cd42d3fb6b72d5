"""What an application counts, in Prometheus' text format."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_MOST_PREFIXES = 100


class Metrics:
    """Requests by *public* prefix: the same label on the monolith and on a service, whose paths have no ``/api``.

    Args:
        service: the name in ``tracseq_build_info``.
        version: likewise.
        strips_api: whether requests come without ``/api`` because the gateway took it away.
    """

    def __init__(self, service: str, version: str, *, strips_api: bool) -> None:
        self._service = service
        self._version = version
        self._strips_api = strips_api
        self._started = time.time()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_BOUNDS) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self.in_flight = 0

    def prefix(self, path: str) -> str:
        """The public prefix that a request path counts under."""
        segments = path.split("/")
        at = 1
        if not self._strips_api:
            if segments[1:2] != ["api"]:
                return "other"
            at = 2
        segment = segments[at] if at < len(segments) else ""
        if not segment or (self._strips_api and segment == "api"):
            return "other"
        name = f"/api/{segment[:60]}"
        # Any client can make up segments; the number of time series must not follow them.
        known = name in self._seconds or len(self._seconds) < _MOST_PREFIXES
        return name if known else "other"

    def count(self, path: str, method: str, status: int, seconds: float) -> None:
        prefix = self.prefix(path)
        self._requests[prefix, method, status] += 1
        self._buckets[prefix][bisect_left(_BOUNDS, seconds)] += 1
        self._seconds[prefix] += seconds

    def text(self) -> str:
        lines = ["# HELP http_requests_total Requests answered.", "# TYPE http_requests_total counter"]
        for (prefix, method, status), number in sorted(self._requests.items()):
            labels = f'prefix="{_escape(prefix)}",method="{_escape(method)}",status="{status}"'
            lines.append(f"http_requests_total{{{labels}}} {number}")
        name = "http_request_duration_seconds"
        lines += [f"# HELP {name} Seconds from request to answer.", f"# TYPE {name} histogram"]
        for prefix, buckets in sorted(self._buckets.items()):
            label = f'prefix="{_escape(prefix)}"'
            total = 0
            for bound, number in zip((*map(str, _BOUNDS), "+Inf"), buckets, strict=True):
                total += number
                lines.append(f'{name}_bucket{{{label},le="{bound}"}} {total}')
            lines.append(f"{name}_sum{{{label}}} {self._seconds[prefix]:.6f}")
            lines.append(f"{name}_count{{{label}}} {total}")
        lines += [
            "# HELP http_requests_in_flight Requests under way, this one not counted.",
            "# TYPE http_requests_in_flight gauge",
            f"http_requests_in_flight {self.in_flight}",
            "# HELP process_start_time_seconds When this process started, in Unix time.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self._started:.3f}",
            "# HELP tracseq_build_info Which application this is.",
            "# TYPE tracseq_build_info gauge",
            f'tracseq_build_info{{service="{_escape(self._service)}",version="{_escape(self._version)}"}} 1',
        ]
        return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
