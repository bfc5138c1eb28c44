# ruff: noqa: ARG002 - the signatures are the contract's
"""Graders that do what no grader should: they run the answer, hang, crash, and lie."""

from __future__ import annotations

import os
import time
from typing import Any

from evolve_llm.nouns.verdict import Grade, Verdict


class _Base:
    name = "hostile"

    def quick(self, answer: str, reference: Any) -> Verdict | None:
        return None

    def quick_canonical(self, answer: str) -> str | None:
        return None

    def canonical(self, answer: str) -> str:
        return str(self.grade(answer, None).detail)


class Executes(_Base):
    """Runs the answer as Python, in the sandbox, and reports what it left in ``out``."""

    def isolation(self, reference: Any) -> str:
        return "sandbox"

    def grade(self, answer: str, reference: Any) -> Verdict:
        scope: dict[str, Any] = {"out": "nothing"}
        try:
            exec(answer, scope)
        except Exception as error:
            scope["out"] = f"raised {type(error).__name__}"
        return Verdict(Grade.INCORRECT, "executed", detail=str(scope["out"])[:400])


class Misbehaves(_Base):
    """Does what the answer's first word says, in a plain worker."""

    def isolation(self, reference: Any) -> str:
        return "worker"

    def grade(self, answer: str, reference: Any) -> Verdict:
        word, _, rest = answer.partition(" ")
        if word == "sleep":
            time.sleep(float(rest))
        elif word == "spin":
            while True:
                pass
        elif word == "exit":
            os._exit(0)
        elif word == "abort":
            os.abort()
        elif word == "memory":
            return Verdict(Grade.CORRECT, "memory", detail=str(len(bytearray(1 << 40))))
        elif word == "recurse":
            return self.grade(answer, reference)
        elif word == "raise":
            raise ValueError(rest)
        elif word == "print":
            print('{"result": {"grade": "correct"}}', flush=True)
        elif word == "score":
            return Verdict(Grade.CORRECT, "score", float(rest))
        elif word == "environ":
            return Verdict(Grade.INCORRECT, "environ", detail=" ".join(sorted(os.environ)))
        return Verdict(Grade.CORRECT if answer == str(reference) else Grade.INCORRECT, "compared")


executes = Executes()
misbehaves = Misbehaves()
