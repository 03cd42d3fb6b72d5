"""People who answer as a test tells them to."""

from __future__ import annotations

from collections.abc import Iterable

from tracseq_migrate.errors import Declined, InvalidSetup
from tracseq_migrate.ports import Person


class MemoryIdentity:
    """An `Identity`; change ``name`` to be somebody else, or empty it to be nobody."""

    def __init__(self, name: str = "ada", *, source: str = "variable") -> None:
        self.name = name
        self.source = source

    def whoami(self) -> Person:
        if not self.name:
            raise InvalidSetup("nobody says who this is")
        return Person(self.name, self.source)


class MemoryAsker:
    """An `Asker` that takes its answers from a list; ``asked`` lists the questions.

    Without a list nobody is present; where the answers have run out, the input has ended.
    """

    def __init__(self, answers: Iterable[bool | str] | None = None) -> None:
        self.present = answers is not None
        self.answers: list[bool | str] = list(answers or ())
        self.asked: list[str] = []

    def confirm(self, question: str) -> bool:
        answer = self._next(question)
        if not isinstance(answer, bool):
            raise TypeError(f"{question!r} was answered with the text {answer!r}")
        return answer

    def text(self, question: str) -> str:
        answer = self._next(question)
        if not isinstance(answer, str):
            raise TypeError(f"{question!r} was answered with {answer!r}")
        return answer

    def _next(self, question: str) -> bool | str:
        self.asked.append(question)
        if not self.answers:
            raise Declined("the input ended before the question was answered")
        return self.answers.pop(0)
