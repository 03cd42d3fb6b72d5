"""A small explicit-state model of the cutover, explored to the end: see docs of ``protocol``, ``guards`` and ``exploring``."""
