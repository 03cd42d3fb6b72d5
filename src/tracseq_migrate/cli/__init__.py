"""The command line: each file parses one command, calls its operation, and lets the exit code out."""
