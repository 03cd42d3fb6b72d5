"""Caddy as the gateway's proxy: the upstreams of a reverse_proxy are the rotation, read by Caddy's admin API.

Caddy reads its configuration anew with each change of it, which closes kept-alive connections and drops the new ones
that were waiting to be accepted. A configuration that dials *slots* escapes that: ``"dial": "{file./path/of/slot}"`` has
Caddy read the address from a small file for each request, and a switch rewrites the files.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from tracseq_migrate.adapters import durable
from tracseq_migrate.adapters.http import MAX_BODY
from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import Answer, StaleSwitch, Unreachable

_PRECONDITION_FAILED = 412
_ATTEMPTS = 4
_PAUSE = 0.05
_EPOCHS = "epochs.json"
_ID = "switched-under"
_SLOT = re.compile(r"\{file\.(/[^{}]+)\}")


@dataclass(frozen=True, slots=True)
class _Route:
    """The upstreams list of a handler: where it is in the configuration, and what it holds."""

    path: str
    upstreams: list[dict[str, Any]]
    tag: str = ""

    @property
    def slots(self) -> list[Path]:
        """The files that the upstreams' addresses are read from, for each request; empty for plain upstreams."""
        found = [_SLOT.fullmatch(str(upstream.get("dial"))) for upstream in self.upstreams]
        return [Path(match[1]) for match in found if match]


class CaddyProxy:
    """`Proxy` over Caddy.

    The handler is found by the instances' addresses, so that the rest of the configuration may look as it likes. Where
    it dials slots (at least as many as instances), a switch rewrites them, and no connection is touched. Otherwise a
    switch changes the list of upstreams, on condition that it is still the list that was read (If-Match).

    Args:
        admin: base URL of the admin API.
        instances: name -> ``host:port``, as the configuration dials them.
        server: name of the HTTP server in Caddy's configuration; empty for all of them.
        timeout: seconds for one exchange.
    """

    kind = "caddy"

    def __init__(
        self, admin: str, instances: Mapping[str, str], *, server: str = "", timeout: float = 5.0
    ) -> None:
        self._admin = admin.rstrip("/")
        self._dials = {name: _address(dial) for name, dial in instances.items()}
        self._root = "/config/apps/http/servers" + (f"/{quote(server, safe='')}" if server else "")
        self._timeout = timeout
        self._what = f"caddy (admin API {one_line(admin)}{f', server {one_line(server)}' if server else ''})"

    def in_rotation(self) -> frozenset[str]:
        return self._names(self._route())

    def in_flight(self, instance: str) -> int | None:
        if instance not in self._dials:
            raise self._unknown([instance])
        document = self._json(self._ask("/reverse_proxy/upstreams"))
        if not isinstance(document, list):
            raise Unreachable(self._what, "does not list its upstreams")
        count = 0
        for upstream in document:
            if isinstance(upstream, dict) and _address(str(upstream.get("address"))) == self._dials[instance]:
                requests = upstream.get("num_requests")
                if not isinstance(requests, int):
                    return None
                count += requests
        # One that is no longer listed has no request left: Caddy keeps it in the list until its last one
        # ended.
        return count

    holds = False

    def hold(self, prefixes: Sequence[str], *, seconds: float) -> None:
        """Refused with `Unreachable`: nothing in Caddy makes a request wait and lets it go on."""
        raise Unreachable(
            self._what, f"Caddy cannot make writes wait, so those below {_listed(prefixes)} cannot be held"
        )

    def release(self) -> None:
        """Nothing is ever held."""

    def held(self) -> frozenset[str]:
        return frozenset()

    def writes_in_flight(self, prefixes: Sequence[str]) -> int | None:
        """None: it counts requests without telling what they ask for."""
        return None

    def switch(self, to: Sequence[str], *, epoch: int | None = None, scope: str = "") -> None:
        """As the port says. Epochs are kept where the rotation is: beside the slots, or in the name (``@id``) of the first
        upstream.

        Raises:
            Unreachable: as the port says; also where an instance of ``to`` is unknown, or the handler is not to be found,
                or has upstreams that are no instances.
            StaleSwitch: as the port says.
            ValueError: ``to`` is empty, which would leave clients with nobody.
        """
        wanted = list(dict.fromkeys(to))
        if not wanted:
            raise ValueError("a proxy cannot be switched to no instance at all")
        missing = [name for name in wanted if name not in self._dials]
        if missing:
            raise self._unknown(missing)
        route = self._route()
        if epoch is None and self._names(route) == frozenset(wanted):
            return
        if route.slots:
            with self._one_by_one(route.slots[0]):
                self._compared_beside(route.slots[0], epoch, scope)
                self._fill(route, wanted)
        else:
            self._change(wanted, epoch, scope)
        self._confirm(frozenset(wanted))

    @contextmanager
    def _one_by_one(self, slot: Path) -> Iterator[None]:
        """Nobody else who switches by these slots comes in between."""
        try:
            lock = os.open(slot.parent, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        except OSError as error:
            raise Unreachable(
                self._what, f"the folder of its slots cannot be opened: {error.strerror}"
            ) from error
        try:
            until = time.monotonic() + self._timeout
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise Unreachable(self._what, "somebody else keeps its slots for switching") from None
                    time.sleep(_PAUSE)
            yield
        finally:
            os.close(lock)

    def _compared_beside(self, slot: Path, epoch: int | None, scope: str) -> None:
        """Compare with the epochs in the file beside the slots, and keep this one there."""
        if epoch is None:
            return
        file = slot.with_name(_EPOCHS)
        try:
            kept = json.loads(file.read_bytes()) if file.exists() else {}
            epochs = _compared({str(of): int(at) for of, at in kept.items()}, epoch, scope)
            durable.replace(file, json.dumps(epochs).encode() + b"\n", like=slot)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it does not have their form"
            raise Unreachable(
                self._what, f"{one_line(str(file))} cannot be read or written: {why}"
            ) from error

    def _fill(self, route: _Route, wanted: Sequence[str]) -> None:
        slots = route.slots
        if len(slots) < max(len(wanted), len(route.upstreams)):
            raise Unreachable(
                self._what,
                f"{len(slots)} of its {len(route.upstreams)} upstreams are slots, which is too few"
                f" for {len(wanted)} instances, or a mixture",
            )
        for number, slot in enumerate(slots):
            try:
                durable.replace(slot, self._dials[wanted[number % len(wanted)]].encode() + b"\n", like=slot)
            except OSError as error:
                why = f"its slot {one_line(str(slot))} cannot be written: {error.strerror}"
                raise Unreachable(self._what, why, sent=number > 0) from error

    def _change(self, wanted: Sequence[str], epoch: int | None, scope: str) -> None:
        for _ in range(_ATTEMPTS):
            if self._replace(self._tagged(self._route()), wanted, epoch, scope):
                return
        raise Unreachable(self._what, "its configuration is being changed by somebody else all the time")

    def _replace(self, route: _Route, wanted: Sequence[str], epoch: int | None, scope: str) -> bool:
        """Put the wanted upstreams in place of the list; False where the list is no longer as it was read."""
        epochs = _epochs(route.upstreams)
        if epoch is not None:
            epochs = _compared(epochs, epoch, scope)
        plain = [_unnamed(each) for each in route.upstreams]
        present = {_address(str(each.get("dial"))): each for each in plain}
        model = plain[0] if plain else {}
        new = [
            present.get(self._dials[name], {**model, "dial": self._dials[name]})
            for name in self._dials
            if name in wanted
        ]
        if epochs:
            # Caddy takes no fields of others but this one; the condition below makes comparing and changing one move.
            new[0] = {
                **new[0],
                "@id": _ID + "".join(f"&{quote(of, safe='')}={at}" for of, at in epochs.items()),
            }
        answer = self._exchange(route.path, "PATCH", {"If-Match": route.tag}, new)
        if answer.status == _PRECONDITION_FAILED:
            return False
        self._good(answer)
        return True

    def _confirm(self, wanted: frozenset[str]) -> None:
        until = time.monotonic() + self._timeout
        while True:
            # The admin API itself starts anew with each change, so the first question may find nobody.
            try:
                rotation = self._names(self._route())
            except Unreachable:
                if time.monotonic() > until:
                    raise
            else:
                if rotation == wanted:
                    return
                if time.monotonic() > until:
                    raise Unreachable(
                        self._what,
                        f"after the switch the rotation is {_listed(rotation)}, not {_listed(wanted)}",
                        sent=True,
                    )
            time.sleep(_PAUSE)

    def _route(self) -> _Route:
        servers = self._json(self._ask(self._root))
        ours = set(self._dials.values())
        routes = [route for route in _routes(servers, self._root) if ours & set(self._addresses(route))]
        if not routes:
            known = ", ".join(f"{name} at {dial}" for name, dial in self._dials.items())
            raise Unreachable(self._what, f"has no route to a gateway instance ({known})")
        if len(routes) > 1:
            places = ", ".join(one_line(route.path) for route in routes)
            raise Unreachable(self._what, f"has more than one route to the gateway instances ({places})")
        return routes[0]

    def _tagged(self, route: _Route) -> _Route:
        """The same list with the tag that a conditional change needs."""
        answer = self._ask(route.path)
        upstreams = self._json(answer)
        if not isinstance(upstreams, list) or not all(isinstance(each, dict) for each in upstreams):
            raise Unreachable(self._what, "its configuration changed while it was read")
        return _Route(route.path, upstreams, answer.header("Etag") or "")

    def _names(self, route: _Route) -> frozenset[str]:
        by_dial = {dial: name for name, dial in self._dials.items()}
        dials = self._addresses(route)
        strange = [dial for dial in dials if dial not in by_dial]
        if strange:
            named = ", ".join(one_line(dial, 60) for dial in strange)
            raise Unreachable(
                self._what, f"its route has upstreams that the environment does not know: {named}"
            )
        return frozenset(by_dial[dial] for dial in dials)

    def _addresses(self, route: _Route) -> list[str]:
        """Where the route's requests go; for slots, what is in the files now."""
        return [self._read(str(upstream.get("dial"))) for upstream in route.upstreams]

    def _read(self, dial: str) -> str:
        slot = _SLOT.fullmatch(dial)
        if slot is None:
            return _address(dial)
        try:
            with Path(slot[1]).open(encoding="utf-8") as file:
                return _address(file.read(300).strip())
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not text"
            raise Unreachable(self._what, f"its slot {one_line(slot[1])} cannot be read: {why}") from error

    def _ask(self, path: str) -> Answer:
        return self._good(self._exchange(path, "GET", {}, None))

    def _good(self, answer: Answer) -> Answer:
        if answer.status == 200:
            return answer
        said = one_line(answer.body[:4000].decode("utf-8", "replace"))
        raise Unreachable(self._what, f"answered {answer.status}: {said or 'nothing'}", sent=True)

    def _json(self, answer: Answer) -> Any:
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            raise Unreachable(self._what, "what answered is not Caddy's admin API: no JSON") from None

    def _exchange(self, path: str, method: str, headers: Mapping[str, str], body: object) -> Answer:
        from tracseq_migrate.adapters.exchange import exchange  # slow to import
        from tracseq_migrate.adapters.reaching import ExchangeError

        try:
            return exchange(
                self._admin + path,
                method=method,
                headers=headers,
                json=body,
                timeout=self._timeout,
                max_body=MAX_BODY,
            )
        except ExchangeError as error:
            raise Unreachable(self._what, error.why, sent=error.sent) from error

    def _unknown(self, names: Sequence[str]) -> Unreachable:
        return Unreachable(
            self._what,
            f"the environment has no instance {_listed(names)}; it has {_listed(list(self._dials))}",
        )


def _routes(node: object, path: str) -> Iterator[_Route]:
    """Every reverse_proxy handler below a part of the configuration, at whatever depth."""
    if isinstance(node, dict):
        upstreams = node.get("upstreams")
        if (
            node.get("handler") == "reverse_proxy"
            and isinstance(upstreams, list)
            and all(isinstance(each, dict) for each in upstreams)
        ):
            yield _Route(f"{path}/upstreams", upstreams)
        for key, value in node.items():
            yield from _routes(value, f"{path}/{quote(str(key), safe='')}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _routes(value, f"{path}/{index}")


def _epochs(upstreams: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The epochs of the last switches by scope, as the upstreams' names keep them."""
    said = "".join(str(each["@id"]) for each in upstreams if str(each.get("@id", "")).startswith(_ID))
    pairs = parse_qsl(said.removeprefix(_ID), keep_blank_values=True)
    return {of: int(at) for of, at in pairs if at.isdecimal()}


def _unnamed(upstream: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in upstream.items() if key != "@id" or not str(value).startswith(_ID)}


def _compared(epochs: Mapping[str, int], epoch: int, scope: str) -> dict[str, int]:
    """The epochs with this one. Raises `StaleSwitch` where a later one is among them."""
    last = epochs.get(scope, epoch)
    if epoch < last:
        raise StaleSwitch(epoch, last)
    return {**epochs, scope: epoch}


def _address(dial: str) -> str:
    return dial.removeprefix("tcp/")


def _listed(names: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(sorted(one_line(name, 60) for name in names)) or "none"
