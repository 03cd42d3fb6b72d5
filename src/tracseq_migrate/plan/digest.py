"""The digest that a run and its signatures are bound to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tracseq_migrate.journal.chain import canonical
from tracseq_migrate.plan.model import TEXTS, WeekPlan


def digest(plan: WeekPlan, scripts: Mapping[str, bytes], environment: Mapping[str, Any]) -> str:
    """SHA-256 in hex over what a run depends on.

    Args:
        scripts: the files that the plan names, by the name that it gives them.
        environment: the environment without secrets, as its ``digest_view`` has it.

    Comments, white space, the order of keys, and defaults that are spelled out change nothing.
    """
    bodies = {name: hashlib.sha256(body).hexdigest() for name, body in scripts.items()}
    document = {key: value for key, value in plan.document().items() if key != TEXTS}
    text = canonical({"plan": document, "scripts": bodies, "environment": dict(environment)})
    return hashlib.sha256(text.encode()).hexdigest()
