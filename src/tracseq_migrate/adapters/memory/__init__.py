"""Every port once more, in memory: fakes that hold state for tests to look at and keep the same contracts.

Nothing is imported here, so that using one fake costs no other.
"""
