"""What people see: the only room that prints.

`screen` is the door: it knows the streams and what they can do, and hands out observers, the asker and the way to show a
document. Everything that reaches a stream passes through `ink`, which takes secrets and terminal controls out of it.
Modules that lay out with rich are imported when something is laid out, not before.
"""
