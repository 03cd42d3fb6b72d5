"""TracSeq's own flags: the one table of them."""

from __future__ import annotations

from tracseq_migrate.ports import Route

TRACSEQ_ROUTES: tuple[Route, ...] = (
    Route("USE_AUTH_SERVICE", "auth", "/api/auth", "auth"),
    Route("USE_SAMPLE_SERVICE", "samples", "/api/samples", "samples"),
    Route("USE_TEMPLATE_SERVICE", "templates", "/api/templates", "templates"),
    Route("USE_STORAGE_SERVICE", "storage", "/api/storage", "storage"),
    Route("USE_SEQUENCING_SERVICE", "sequencing", "/api/sequencing", "sequencing"),
    Route("USE_NOTIFICATION_SERVICE", "notifications", "/api/notifications", "notifications"),
    Route("USE_RAG_SERVICE", "rag", "/api/rag", "rag"),
    Route("USE_SPREADSHEET_SERVICE", "spreadsheet", "/api/spreadsheets", "spreadsheets"),
    Route("USE_DASHBOARD_SERVICE", "dashboard", "/api/dashboard", "dashboard"),
    Route("USE_REPORTS_SERVICE", "reports", "/api/reports", "reports"),
)
"""The flag's variable, its name in the gateway's answers, the prefix it routes, and the service it routes to."""
