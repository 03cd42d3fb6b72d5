"""The flags that the gateway knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its variable, its key in both maps of /routing-status, the prefix that it moves, where to."""

    variable: str
    key: str
    prefix: str
    target: str

    @property
    def service(self) -> str:
        """The sandbox's name of the service; services are named after the path that they answer."""
        return self.prefix.removeprefix("/api/")


FLAGS: tuple[Flag, ...] = (
    Flag("USE_AUTH_SERVICE", "auth", "/api/auth", "http://auth-service:8080"),
    Flag("USE_SAMPLE_SERVICE", "samples", "/api/samples", "http://sample-service:8081"),
    Flag("USE_TEMPLATE_SERVICE", "templates", "/api/templates", "http://template-service:8083"),
    Flag("USE_STORAGE_SERVICE", "storage", "/api/storage", "http://enhanced-storage-service:8082"),
    Flag("USE_SEQUENCING_SERVICE", "sequencing", "/api/sequencing", "http://sequencing-service:8084"),
    Flag(
        "USE_NOTIFICATION_SERVICE", "notifications", "/api/notifications", "http://notification-service:8085"
    ),
    Flag("USE_RAG_SERVICE", "rag", "/api/rag", "http://enhanced-rag-service:8086"),
    Flag(
        "USE_SPREADSHEET_SERVICE",
        "spreadsheet",
        "/api/spreadsheets",
        "http://spreadsheet-versioning-service:3015",
    ),
    Flag("USE_DASHBOARD_SERVICE", "dashboard", "/api/dashboard", "http://dashboard-service:3025"),
    Flag("USE_REPORTS_SERVICE", "reports", "/api/reports", "http://reports-service:3026"),
)
