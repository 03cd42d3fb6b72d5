"""The journal: an append-only, hash-chained record of events. Pure: storage is a port, meaning is a fold.

`chain` makes and verifies the hashes, `vocabulary` names the events and makes their drafts, `replay` folds them into the
state of every week.
"""
