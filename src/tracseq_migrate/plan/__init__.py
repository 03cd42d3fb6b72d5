"""Week plans: what one is, how it is read and found, what it is checked against, and its digest."""

from tracseq_migrate.plan.checks import check, check_needs
from tracseq_migrate.plan.digest import digest
from tracseq_migrate.plan.model import ChecklistItem, Need, Retry, Source, StepEntry, Surroundings, WeekPlan
from tracseq_migrate.plan.project import Project
from tracseq_migrate.plan.reading import Read, from_document, read
from tracseq_migrate.plan.shelf import PlanShelf, folders, is_path, packaged
from tracseq_migrate.plan.texts import normal

__all__ = [
    "ChecklistItem",
    "Need",
    "PlanShelf",
    "Project",
    "Read",
    "Retry",
    "Source",
    "StepEntry",
    "Surroundings",
    "WeekPlan",
    "check",
    "check_needs",
    "digest",
    "folders",
    "from_document",
    "is_path",
    "normal",
    "packaged",
    "read",
]
