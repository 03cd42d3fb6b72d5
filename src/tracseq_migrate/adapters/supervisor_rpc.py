"""One call of supervisord's XML-RPC interface over its unix socket, within a deadline.

The interface is HTTP and XML of the standard library; supervisord's own package is not needed to speak it.
Importing this module is slow (http.client, expat): `SupervisorProgram` does it when it is first used.
"""

from __future__ import annotations

import http.client
import socket
import time
import xmlrpc.client
from typing import Any
from xml.parsers.expat import ExpatError

from tracseq_migrate.adapters.wording import one_line


class FaultError(Exception):
    """supervisord understood, and refused: ``code`` is one of its interface's fault numbers."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class NoAnswerError(Exception):
    """No answer of supervisord; ``sent``: it may have got the call."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.why = why
        self.sent = sent


_MAX_ANSWER = 4 * 1024 * 1024


class _Socket(socket.socket):
    """A unix socket each of whose reads gets what is left of the whole time: slow bytes keep nobody."""

    until: float

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)
        return super().recv_into(buffer, nbytes, flags)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, until: float) -> None:
        super().__init__("localhost")
        self._path = path
        self._until = until
        self.connected = False

    def connect(self) -> None:
        self.sock = made = _Socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.until = self._until
        made.settimeout(max(self._until - time.monotonic(), 0.001))
        made.connect(self._path)
        self.connected = True


def call(path: str, method: str, *arguments: str | int | bool, until: float) -> Any:
    """Call ``supervisor.METHOD`` on the socket at ``path``; ``until`` is a time of `time.monotonic`.

    Raises:
        FaultError: supervisord refused.
        NoAnswerError: no answer, or none that supervisord would give.
    """
    if len(path.encode()) > 107:
        raise NoAnswerError(
            "the socket's path is longer than the 107 bytes that the system allows", sent=False
        )
    if until <= time.monotonic():
        raise NoAnswerError("supervisord did not answer in time", sent=False)
    connection = _UnixConnection(path, until)
    try:
        body = xmlrpc.client.dumps(arguments, f"supervisor.{method}")
        connection.request("POST", "/RPC2", body.encode(), {"Content-Type": "text/xml"})
        answer = connection.getresponse()
        text = answer.read(_MAX_ANSWER + 1)
        if len(text) > _MAX_ANSWER:
            raise NoAnswerError("what answered is not supervisord: its answer has no end", sent=True)
        if answer.status == 401:
            raise NoAnswerError("supervisord asks for a user name and a password on its socket", sent=False)
        if answer.status != 200:
            raise NoAnswerError(
                f"supervisord answered {answer.status} {one_line(answer.reason, 60)}", sent=True
            )
        return xmlrpc.client.loads(text)[0][0]
    except xmlrpc.client.Fault as fault:
        raise FaultError(fault.faultCode, str(fault.faultString)) from fault
    except (ExpatError, xmlrpc.client.Error, IndexError, UnicodeError) as error:
        raise NoAnswerError("what answered is not supervisord, or cannot be read", sent=True) from error
    except TimeoutError as error:
        raise NoAnswerError("supervisord did not answer in time", sent=connection.connected) from error
    except FileNotFoundError as error:
        raise NoAnswerError("there is no such socket: supervisord is not running", sent=False) from error
    except ConnectionRefusedError as error:
        raise NoAnswerError("nobody listens on the socket: supervisord is not running", sent=False) from error
    except (OSError, http.client.HTTPException) as error:
        why = one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        raise NoAnswerError(why, sent=connection.connected) from error
    finally:
        connection.close()
