"""Data on its way from one database to another, of another shape, and back: mapping, copy, capture, apply, compare.

Everything here talks to PostgreSQL through `ports.sql` and knows neither a flag nor a gateway. The old side is called A and
the new side B throughout, whichever of the two owns the data at the moment; a direction is ``forward`` (A to B) or ``back``.
"""
