"""What only reads: the dashboard, the reports, and answers to questions about the laboratory's procedures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import LiteralString

from aiohttp import web

from tracseq_migrate.sandbox.apps.connections import Connections
from tracseq_migrate.sandbox.apps.refusals import Invalid
from tracseq_migrate.sandbox.apps.resource import body_of
from tracseq_migrate.sandbox.apps.style import Style

_MONOLITH_COUNTS: LiteralString = """
    SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM samples) AS samples,
           (SELECT count(*) FROM templates) AS templates, (SELECT count(*) FROM storage_locations) AS storage_locations,
           (SELECT count(*) FROM sequencing_jobs) AS sequencing_jobs
"""
_DASHBOARD_COUNTS: LiteralString = """
    SELECT (SELECT count(*) FROM custom_dashboards) AS dashboards, (SELECT count(*) FROM kpi_definitions) AS kpis,
           (SELECT count(*) FROM alerts WHERE is_active) AS active_alerts
"""
_REPORTS_BY_STATUS: LiteralString = """
    SELECT status, count(*) AS reports FROM generated_reports GROUP BY status ORDER BY status
"""
_SAMPLES_BY_STATUS: LiteralString = """
    SELECT status::text AS status, count(*) AS samples FROM samples GROUP BY status ORDER BY status
"""

PASSAGES: Mapping[str, str] = {
    "freezer": "Nucleic acid extracts are kept at -80C in sealed boxes; a freezer that warms above -70C is reported at once.",
    "barcode": "Each tube carries one barcode, printed before the sample is taken in; a damaged label is printed again.",
    "extraction": "DNA is extracted within 48 hours of arrival; yield is measured by fluorometry before library preparation.",
    "library": "A library passes when its mean fragment length lies between 300 and 700 bases and no adapter dimer is seen.",
    "sequencing": "A sequencing run starts when every library of its sheet has passed and two persons have checked the sheet.",
    "retention": "Samples are kept for two years after the last report; discarding one needs the principal investigator.",
}
"""All that there is to know: question and answer leave no trace in any table."""


class Overview:
    """``GET dashboard``, ``GET reports``, ``GET rag`` and ``POST rag/query``. None of them writes."""

    def __init__(self, connections: Connections, style: Style) -> None:
        self._connections = connections
        self._style = style

    def dashboard(self, root: str) -> list[web.AbstractRouteDef]:
        return [web.get(f"{root}/dashboard", self._dashboard, allow_head=False)]

    def reports(self, root: str) -> list[web.AbstractRouteDef]:
        return [web.get(f"{root}/reports", self._reports, allow_head=False)]

    def rag(self, root: str) -> list[web.AbstractRouteDef]:
        return [
            web.get(f"{root}/rag", self._rag, allow_head=False),
            web.post(f"{root}/rag/query", self._query),
        ]

    async def _dashboard(self, request: web.Request) -> web.Response:
        async with self._connections.reading() as connection:
            query = _DASHBOARD_COUNTS if self._style.service else _MONOLITH_COUNTS
            counts = await (await connection.execute(query)).fetchone()
        if self._style.service:
            return self._style.answer(200, {"widgets": counts, "refresh_seconds": 30})
        return self._style.answer(200, {"title": "Laboratory", "counts": counts})

    async def _reports(self, request: web.Request) -> web.Response:
        async with self._connections.reading() as connection:
            if self._style.service:
                rows = await (await connection.execute(_REPORTS_BY_STATUS)).fetchall()
                return self._style.answer(200, {"reports": rows, "formats": ["pdf", "csv", "json"]})
            rows = await (await connection.execute(_SAMPLES_BY_STATUS)).fetchall()
        return self._style.answer(200, {"reports": [{"name": "samples by status", "rows": rows}]})

    async def _rag(self, request: web.Request) -> web.Response:
        if self._style.service:
            return self._style.answer(
                200, {"documents": len(PASSAGES), "retrieval": "overlap", "status": "ready"}
            )
        return self._style.answer(200, {"topics": sorted(PASSAGES), "search": "keyword"})

    async def _query(self, request: web.Request) -> web.Response:
        question = (await body_of(request)).get("query")
        if not isinstance(question, str) or not question.strip():
            raise Invalid("query: text expected")
        words = set(re.findall(r"\w+", question.lower()))
        if self._style.service:
            scored = sorted(((_overlap(words, topic), topic) for topic in PASSAGES), reverse=True)
            score, topic = scored[0]
            answer = PASSAGES[topic] if score else None
            sources = [{"topic": topic, "score": round(score, 3)}] if score else []
            return self._style.answer(
                200, {"answer": answer, "confidence": round(score, 3), "sources": sources}
            )
        # The monolith knows its topics by name only.
        topic = next((name for name in PASSAGES if name in words), "")
        return self._style.answer(200, {"answer": PASSAGES.get(topic), "topic": topic or None})


def _overlap(words: set[str], topic: str) -> float:
    known = set(re.findall(r"\w+", PASSAGES[topic].lower())) | {topic}
    return len(words & known) / len(words) if words else 0.0
