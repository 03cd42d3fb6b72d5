"""Flags that no journal knows of: whether they are in force, and what can still be said of how they were before."""

from __future__ import annotations

from collections.abc import Mapping

from tracseq_migrate.ports import FlagFile
from tracseq_migrate.routing import values
from tracseq_migrate.routing.readback import Disagreement, describe, disagreements
from tracseq_migrate.step import Adopted, Found, StepContext, Undo


def short_of(ctx: StepContext, store: FlagFile, wanted: Mapping[str, bool]) -> Adopted | None:
    """What speaks against the flags being in force as a whole; None where store, instances and public address agree on them."""
    declared = [values.read(store.values.get(flag)) for flag in wanted]
    off = {flag: not value for flag, value in wanted.items()}

    def wrong(expect: Mapping[str, bool]) -> list[Disagreement]:
        everywhere = [*ctx.gateway.instances, None]
        timeout = ctx.remaining(5.0)
        return disagreements(ctx.gateway, expect, instances=everywhere, connections=1, timeout=timeout)

    not_on = wrong(wanted)
    silent = [item for item in not_on if item.silent]
    if silent:
        return Adopted(Found.UNKNOWN, describe(silent))
    if not_on or declared != list(wanted.values()):
        as_before = not wrong(off) and declared == list(off.values())
        told = describe(not_on) or f"{store.location} does not declare what is effective"
        return Adopted(Found.NOT_DONE if as_before else Found.PARTLY, told)
    return None


def way_back(
    ctx: StepContext, store: FlagFile, wanted: Mapping[str, bool], stores: Mapping[str, str]
) -> tuple[Undo, tuple[str, ...]]:
    """An undo for flags that are in force, and in sentences what of it is assumed.

    Args:
        stores: the databases in which the services that were turned on keep their data, by service.
    """
    off = {flag: not value for flag, value in wanted.items()}
    assumed = [
        f"{flag} was {values.spell(was)} before, because the plan turns it {'off' if was else 'on'}; "
        "what it was, and how it was written, cannot be known"
        for flag, was in off.items()
    ]
    assumed += [
        f"what {service} kept before cannot be known: going back counts every row of {database} as written since, "
        "and rows that were deleted there cannot be counted"
        for service, database in stores.items()
    ]
    undo: Undo = {
        "location": store.location,
        "values": {flag: values.spell(was) for flag, was in off.items()},
        "effective": off,
        "instances": list(ctx.gateway.instances),
        "manifests": {},
        "unknown_before": dict(stores),
    }
    return undo, tuple(assumed)
