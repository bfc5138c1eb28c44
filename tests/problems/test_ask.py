"""One question: no reference, a stable id, an answer short enough to vote on."""

import pytest

from evolve_llm.errors import UserError
from problems.ask import ask


def test_one_question_has_a_stable_id_and_nothing_to_grade() -> None:
    problem = ask(" What is 17*23? ")
    assert problem == ask("What is 17*23?")
    assert problem.id != ask("What is 17*24?").id
    assert (problem.question, problem.format) == ("What is 17*23?", "tags")
    assert problem.grader is None
    assert problem.reference is None
    assert ask("x", format="boxed").format == "boxed"


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(UserError, match="empty"):
        ask(" \n")
