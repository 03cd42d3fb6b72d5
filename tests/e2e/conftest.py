"""Sandboxes that several tests of this folder share, each as new before every test."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.e2e.driving import Tool, tool_of
from tests.sandbox_fixture import Sandbox, bring_up, take_down
from tests.security import canaries


@pytest.fixture
def tool(sandbox: Sandbox) -> Iterator[Tool]:
    """The command line in the folder of the session's sandbox, which is as new; what it leaves holds no secret."""
    yield tool_of(sandbox)
    passwords = [
        urlsplit(path.read_text().strip()).password for path in sandbox.folder.rglob("secrets/*.dsn")
    ]
    assert passwords
    secrets = [*canaries.VARIABLES.values(), *filter(None, passwords)]
    canaries.assert_clean(sandbox.folder / ".tracseq-migrate", secrets=secrets)


@pytest.fixture(scope="session")
def session_single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("single")
    try:
        yield bring_up(folder, users=0, gateway="single")
    finally:
        take_down(folder)


@pytest.fixture
def single(session_single: Sandbox) -> Sandbox:
    """One gateway and no proxy, as new."""
    session_single.reset()
    return session_single


@pytest.fixture(scope="session")
def session_caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("caddy")
    try:
        yield bring_up(folder, users=20, proxy="caddy")
    finally:
        take_down(folder)


@pytest.fixture
def caddy(session_caddy: Sandbox) -> Sandbox:
    """Two gateways behind Caddy, as new."""
    session_caddy.reset()
    return session_caddy
