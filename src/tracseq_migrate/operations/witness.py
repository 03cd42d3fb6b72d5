"""Who remembers more than the journal has: its own memory of the last event, the rendered log, a list of writes left behind.

A journal that was emptied, cut or replaced by an older copy fits its chain perfectly well. Acting on it would do again what was
done, or find nothing to go back from; so nothing is begun on one that has lost events, and whoever looks is told.
"""

from __future__ import annotations

from tracseq_migrate.errors import Residue
from tracseq_migrate.migration_log.file import recognise
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System


def lost(system: System, ledger: Ledger) -> str:
    """What shows that there were more events than the journal has now, in one sentence; empty where nothing does."""
    known = system.store.lost()
    if known:
        return known
    location = system.store.location
    has = f"the journal {location} has {ledger.state.events or 'no'} events and not that one"
    try:
        footer = recognise(system.files.read(system.log.path))
    except OSError:
        footer = None  # what cannot be read witnesses nothing
    if footer is not None and footer.seq and footer.environment in ("", system.environment):
        head = ledger.known_head(footer.seq)
        if head is None:
            return f"{system.log.path} was rendered up to event {footer.seq}, and {has}: they are lost, or elsewhere"
        if head != footer.head:
            return (
                f"{system.log.path} was rendered from another journal: event {footer.seq} of {location} is not the one "
                "that it ends with"
            )
    if not ledger.state.events and system.files.exists(system.losses):
        return f"{system.losses} has lists of writes that rollbacks left behind, and the journal {location} knows of no rollback"
    return ""


def refuse_lost(system: System, ledger: Ledger) -> None:
    """Raise `Residue` where the journal has lost events."""
    text = lost(system, ledger)
    if text:
        raise loss(system, text)


def loss(system: System, text: str) -> Residue:
    """The error of a journal that has lost events; ``text`` is what `lost` said."""
    return Residue(
        text,
        state="Nothing was changed; the journal and the log were left as they are.",
        hint="Put the last good copy of the state folder back, or "
        f"`{system.type_this('state import FILE')}`; without either, `{system.type_this('state adopt WEEK')}` looks at "
        f"what is so. If that log is not of this system, move {system.log.path} away.",
    )
