"""An environment as plans see it, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracseq_migrate.config import TRACSEQ_ROUTES
from tracseq_migrate.ports import Route
from tracseq_migrate.step import Uses

SERVICES = frozenset({"monolith", *(route.service for route in TRACSEQ_ROUTES)})

OFFERS = Uses(
    services=SERVICES,
    flags=frozenset(route.flag for route in TRACSEQ_ROUTES),
    databases=frozenset({"main", *SERVICES} - {"monolith"}),
    targets=frozenset({"gateway", "gateway-1", *SERVICES}),
)


@dataclass(frozen=True)
class Lab:
    """TracSeq's own services, flags and databases."""

    monolith: str = "monolith"
    routes: Mapping[str, Route] = field(
        default_factory=lambda: {route.flag: route for route in TRACSEQ_ROUTES}
    )
    offers: Uses = OFFERS
