"""Cutover: tables that follow change their owner, and the requests with them, without a write that gets lost; back as well."""

from tracseq_migrate.replication.cutover.front import Front
from tracseq_migrate.replication.cutover.protocol import CutOver, Limits, cut_over
from tracseq_migrate.replication.cutover.recovery import Recovered, recover

__all__ = ["CutOver", "Front", "Limits", "Recovered", "cut_over", "recover"]
