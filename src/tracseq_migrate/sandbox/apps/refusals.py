"""Why a request is not served: one exception a reason, and what a driver's error means for a client."""

from __future__ import annotations

import psycopg


class Refused(Exception):
    """A request that is answered with a status of 400 and more; the message is for the client."""

    status = 500
    title = "Internal server error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotThere(Refused):
    """404"""

    status = 404
    title = "Not found"


class Invalid(Refused):
    """422: what was sent does not fit."""

    status = 422
    title = "Unprocessable entity"


class Taken(Refused):
    """409: the business key is taken, or something else refers to the row."""

    status = 409
    title = "Conflict"


class Unauthorized(Refused):
    """401"""

    status = 401
    title = "Unauthorized"


class Unavailable(Refused):
    """503: the database cannot be asked, or will not take writes now."""

    status = 503
    title = "Service unavailable"


# Classes of SQLSTATE. A fence that refuses writes for a while had better use one of the second set: clients try those again.
_VALUE_CLASSES = ("22", "23", "P0")
_LATER_CLASSES = ("08", "25", "40", "53", "55", "57", "58")
_LATER_CODES = ("42501",)  # rights that were taken away for a while are a way to refuse writes


def refusal_of(error: psycopg.Error, *, deleting: bool = False) -> Refused | None:
    """What a client is told about a driver's error; None for one that is a bug of ours.

    Decided by SQLSTATE alone. A row that others refer to cannot be deleted (409); a reference to nothing is a bad value (422).
    """
    code = error.sqlstate or ""
    message = error.diag.message_primary or str(error)
    if code == "23505" or (code == "23503" and deleting):
        return Taken(message)
    if code.startswith(_VALUE_CLASSES):
        return Invalid(message)
    if code.startswith(_LATER_CLASSES) or code in _LATER_CODES or isinstance(error, psycopg.OperationalError):
        return Unavailable("the database cannot be asked now")
    if not code and isinstance(error, psycopg.DataError):
        return Invalid(message)  # refused by the driver before it was sent, such as a text with a NUL in it
    return None
