"""The tool, typed with arguments as always, that cuts what it copies into small chunks, so that a small table has many.

A chunk weighs many megabytes where people use the tool; a death in the middle of many chunks is what is to be looked at here.
"""

from __future__ import annotations

from functools import partial

from tracseq_migrate.__main__ import main
from tracseq_migrate.replication import bringing, copying

CHUNK_BYTES = 192 << 10

if __name__ == "__main__":
    bringing.copy = partial(copying.copy, chunk_bytes=CHUNK_BYTES)  # type: ignore[attr-defined]
    main()
