"""When a copy has to wait, as a plan says it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from tracseq_migrate.duration import Duration


class Throttle(BaseModel):
    """A number of the source's server above which no chunk is begun: exactly one of the three."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    active: int | None = Field(default=None, ge=0)
    """How many statements of others may run at the moment."""
    standby_lag: Duration | None = None
    """How many seconds the slowest standby may be behind."""
    query: str | None = Field(default=None, min_length=1)
    """A query of your own that answers one number, in a read-only transaction of the source; with `at_most`."""
    at_most: float | None = None
    """The most that the query may answer."""

    def asked(self) -> tuple[str, float]:
        """The query, and the most that it may answer."""
        from tracseq_migrate.replication.copying.throttling import ACTIVE, STANDBY_LAG

        if self.active is not None:
            return ACTIVE, self.active
        if self.standby_lag is not None:
            return STANDBY_LAG, self.standby_lag
        return str(self.query), float(self.at_most or 0.0)

    def findings(self) -> list[str]:
        """What is wrong with it that the types do not say."""
        given = [name for name in ("active", "standby_lag", "query") if getattr(self, name) is not None]
        found = (
            [] if len(given) == 1 else ["throttle: give exactly one of `active`, `standby_lag` and `query`"]
        )
        if (self.query is None) != (self.at_most is None):
            found.append("throttle: `query` and `at_most` go together")
        return found
