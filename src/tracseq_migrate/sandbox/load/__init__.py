"""The load generator: clients that remember every acknowledged write, and look each one up at the end.

It shares no code with the applications. What a resource looks like, on the wire and in either database, is written down
here a second time, so that an application which stores something else than it was told is seen, not agreed with.
"""
