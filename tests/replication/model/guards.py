"""What the protocol rests on. Each is left out once, and the model must then find how it goes wrong."""

from __future__ import annotations

GUARDS = {
    "epoch": "Each transaction of the protocol locks its side's row and goes on only where its own epoch still stands there:"
    " who was paused and wakes up after a claim does nothing.",
    "ends": "Who claims ends the sessions of older claimers: one that stands still holds locks and the lead for ever.",
    "facts": "What is to be done is decided from what was read after the claim on both sides, not from what was seen before.",
    "drain": "The log is drained while both tables are locked: what commits between a drain and the lock would stay behind.",
    "fence": "The fence goes up under a lock that waits for open writers: else one that has passed it commits behind it.",
    "lead": "Who follows holds the lead in the session that writes: where the lead is lost, the batch in hand is lost with it.",
    "fresh": "Who follows reads the origin only after it leads: what was read before may be older than what is there.",
    "share": "Who follows reads its destination's row FOR SHARE in each transaction: one that slept through the cutover would"
    " write the old side's rows over newer ones.",
    "sweep": "Exactly the rows of the log that were read are deleted: one that was written meanwhile is not applied yet.",
    "destination-first": "The destination is locked before the origin: else writers on the origin wait for whatever stands in"
    " the way on the destination.",
    "fence-first": "The origin's fence is committed before the destination opens: in between nobody owns, instead of both.",
    "kept": "The origin's log rows are kept until the destination has committed: who recovers drains them again.",
    "pid": "The fence lets a backend pass by its process number: a setting leaks through a pool to clients.",
    "capture": "The capture of the way back is enabled in the transaction that opens: what is written before it is enabled never"
    " comes back.",
    "timer": "A hold ends by itself: where everybody dies, nobody else would let go.",
    "swap": "The front switches by compare-and-swap with the epoch: an old switch that arrives late fails.",
}
"""Name -> what it is for."""


class Guards(dict[str, bool]):
    """Which of them stand: all of them, in the protocol as it is; or all but one. `KeyError` where there is no such guard."""

    def __init__(self, without: str = "") -> None:
        super().__init__(dict.fromkeys(GUARDS, True))
        if without:
            if without not in GUARDS:
                raise KeyError(without)
            self[without] = False
