"""What is asked before a flip: the store can be written, every instance follows it, and what would be stranded can be counted.

And before one is taken back: that the instances, which are started anew for it, will start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tracseq_migrate.errors import InvalidSetup
from tracseq_migrate.ports import FlagFile, Unreachable
from tracseq_migrate.routing import values
from tracseq_migrate.routing.readback import describe, disagreements
from tracseq_migrate.step import Concern, StepContext


def before_flip(
    ctx: StepContext,
    title: str,
    wanted: Mapping[str, bool],
    *,
    stores: Mapping[str, str],
    uncounted: Iterable[str],
) -> list[Concern]:
    """Everything that would make a flip fail, or change nothing; one concern that passes where nothing would.

    Args:
        title: the flip in a few words; the questions begin with it.
        wanted: the flags, as they are to become.
        stores: the databases in which the services that are turned on keep their data, by service.
        uncounted: the services whose writes would be stranded, and of which nobody can say where they keep them.
    """
    question = f"{title}: the flags can be set"
    try:
        store = ctx.flags.read()
    except InvalidSetup as error:
        return [Concern(question, "fail", error.message, error.hint)]
    found = [Concern(question, "fail", text) for text in ctx.flags.findings(wanted)]
    found += _of_gateway(ctx, question, wanted, store)
    found += _of_rollout(ctx, f"{title}: every instance is in rotation")
    found += [
        Concern(
            question,
            "unknown",
            f"the environment names no database for {service}, so what is written there could never be counted",
            f"Give services.{service}.database in the environment file.",
        )
        for service in uncounted
    ]
    for service, database in stores.items():
        try:
            ctx.databases.manifest(database, timeout=ctx.remaining(60.0))
        except Unreachable as error:
            text = f"what {service} keeps cannot be counted, so the way back could not tell what it would leave: {error}"
            found.append(Concern(question, "unknown", text, f"Make database {database} readable."))
    return found or [
        Concern(question, "pass", f"every instance knows the flags and follows {ctx.flags.location}")
    ]


def before_return(ctx: StepContext, question: str, restored: Mapping[str, object]) -> list[Concern]:
    """What stands in the flag file, beside the flags that are ``restored``, with which no instance would start anew."""
    try:
        store = ctx.flags.read()
    except InvalidSetup:
        return []  # going back finds out, and changes nothing before it can read it
    return [
        Concern(
            question,
            "fail",
            f"{store.location}:{store.lines[flag]}: {flag} is {value!r}, with which the gateway does not start",
            f"Write `{flag}=true` or `{flag}=false`.",
        )
        for flag, value in store.values.items()
        if flag in ctx.routes and flag not in restored and "$" not in value and values.read(value) is None
    ]


def _of_gateway(
    ctx: StepContext, question: str, wanted: Mapping[str, bool], store: FlagFile
) -> list[Concern]:
    """Whether every instance knows the flags, and has them as the store declares them."""
    declared = {flag: values.read(store.values.get(flag)) for flag in wanted}
    expect = {flag: value for flag, value in declared.items() if value is not None}
    wrong = disagreements(
        ctx.gateway, expect, instances=ctx.gateway.instances, connections=1, timeout=ctx.remaining(5.0)
    )
    silent = [item for item in wrong if item.silent]
    hopeless = [item for item in wrong if item.hopeless]
    behind = [item for item in wrong if not item.silent and not item.hopeless]
    found = []
    if silent:
        names = " and ".join(item.instance for item in silent)
        found.append(Concern(question, "unknown", describe(silent), f"Look at the output of {names}."))
    if hopeless:
        remedy = "This version of the gateway does not route by it: update the gateway, or take the flag out of the plan."
        found.append(Concern(question, "fail", describe(hopeless), remedy))
    if behind:
        remedy = (
            f"It does not follow {store.location}: it owes a reload, or its own environment shadows the file. "
            "Make both agree first."
        )
        found.append(Concern(question, "fail", describe(behind), remedy))
    return found


def _of_rollout(ctx: StepContext, question: str) -> list[Concern]:
    try:
        unfinished = ctx.rollout.unfinished()
    except Unreachable as error:
        return [Concern(question, "unknown", str(error), "Start the proxy, or mend its socket.")]
    if unfinished:
        return [Concern(question, "fail", unfinished, "Bring it back into rotation first.")]
    return []
