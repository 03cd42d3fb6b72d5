"""PostgreSQL: manifests of small databases, sessions for everything that moves data, dumps.

Nothing is imported here: the driver is slow to import, and most commands do without.
"""
