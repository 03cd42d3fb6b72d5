"""The journal as a document for people: MIGRATION_LOG.md, always rendered in full from the events alone. Pure.

`sections` folds events into executions, `rendering` runs the template over them, `file` decides whether a file that is
already there may be overwritten.
"""
