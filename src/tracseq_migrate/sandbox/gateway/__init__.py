"""The gateway of the sandbox: sends each path prefix to the monolith or to a service, by one flag a service.

It keeps the contract of the real gateway: flags are read once at start, the prefix match is bare, and no
header tells who answered.
"""
