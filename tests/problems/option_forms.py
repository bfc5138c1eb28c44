"""Ways in which a chain states an option, and ways in which it states none.

``{L}`` is the letter that is meant, ``{l}`` the same in lower case, ``{T}`` its text, ``{W}`` another
option's letter, ``{X}`` that one's text, ``{Q}`` the whole list of options.

``python tests/problems/option_forms.py SPEC`` counts over a problem set how often the reader errs, form by form.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from evolve_llm.grading.text import option
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.formats import last_option

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

STATED = (
    # in a box
    r"\boxed{{{L}}}", r"\boxed{{({L})}}", r"\boxed{{{L}.}}", r"\boxed{{\text{{{L}}}}}", r"\boxed{{\textbf{{({L})}}}}",
    r"\boxed{{{l}}}", r"\boxed{{{L}) {T}}}", r"\boxed{{{L}. {T}}}", r"\boxed{{\text{{{L}: {T}}}}}",
    r"\boxed{{\text{{Option {L}}}}}", r"$$\boxed{{\mathrm{{{L}}}}}$$", r"The answer is $\boxed{{{L}}}$.",
    r"\boxed{{{T}}}", r"\boxed{{\text{{Option {L}: {T}}}}}", r"First \boxed{{{W}}}, but no: \boxed{{{L}}}",
    r"\boxed{{{L} - {T}}}", r"The result is \boxed{{{L}}} because {W} is wrong.",
    # in tags
    "<answer>{L}</answer>", "<answer>({L})</answer>", "<answer>{L}. {T}</answer>", "<answer>\n{L}\n</answer>",
    "<answer>{T}</answer>", "<answer>The answer is {L}</answer>",
    # stated
    "The answer is {L}.", "The answer is {L}", "the answer is ({L}).", "The answer is **{L}**.", "Answer: {L}",
    "**Answer:** {L}", "**Answer: {L}**", "ANSWER: ({L})", "Answer - {L}", "Answer:\n\n{L}",
    "### Final Answer\n**{L}**",
    "The answer is option {L}.", "The correct answer is: {L}", "The correct option is {L}.",
    "The right choice is ({L}).",
    "The correct answer is {L}) {T}", "The correct answer is {L}. {T}", "The best answer would be {L}.",
    "Therefore, the answer must be {L}.", "So the final answer is: **{L}. {T}**", "Final answer: {L}.",
    "My answer is \"{L}\".", "I choose {L}.", "I would go with option {L}.", "We select ({L}).",
    "The answer is \\textbf{{{L}}}.", "The answer is $\\text{{({L})}}$.", "The answer choice is {L}.",
    "Answer: Option {L}", "Correct answer: {L}", "The answer should be {L}, since the others fail.",
    "The answer is therefore {L}.", "The answer is clearly ({L}).", "答案是{L}。", "答案：{L}",
    "Hence, the correct option is **({L})**.", "The answer to this question is {L}.",
    # said to be correct
    "Option {L} is correct.", "So {L} is the correct answer.", "({L}) is correct.", "Therefore {L} is right.",
    "**{L}** is the best choice, so it is the answer.", "Choice {L} must be correct.",
    # concluded, or alone on the last line
    "Therefore, {L}.", "So: ({L})", "Hence **{L}**", "We are done.\n{L}", "We are done.\n({L})",
    "We are done.\n**{L}**",
    "We are done.\n{L}) {T}", "We are done.\n\n{L}.",
    # with other letters around
    "The answer is {W}. Wait, that is wrong. The answer is {L}.", "Option {W} is wrong. The answer is {L}.",
    "The answer is {L}. Option {W} is incorrect because it is too small.", "The answer is not {W}. The answer is {L}.",
    "{Q}\n\nThe answer is {L}.", "{W} is tempting. If {W} is correct, then we contradict ourselves. The answer is {L}.",
    "Answer: {L}\n\n{W} is not possible.", "The options are:\n{Q}\nThe answer: {L}", "The answer is {T}.",
)  # fmt: skip

NOT_STATED = (
    "", "I do not know.", "{Q}", "Choose the correct answer:\n{Q}", r"\boxed{{{L} or {W}}}", r"\boxed{{{L}, {W}}}",
    r"\boxed{{\text{{{L} and {W}}}}}", "<answer>{L}/{W}</answer>", "<answer>both {L} and {W}</answer>",
    "The answer is {L} or {W}.", "The answer is {L} and {W}.", "The answer is either {L} or {W}.",
    "Answer: {L}, {W}", "The answer could be anything.", "Option {L} is wrong.", "Option {L} is incorrect.",
    "The answer cannot be {L}.", "The answer is not {L}.", "We need to decide whether {L} is correct.",
    "Suppose {L} is correct.", "Let us look at option {L} first:", r"\boxed{{({L}) and ({W})}}",
    "The answer is\n{Q}", "Which of them is the answer? Let me think about {L} and {W}.", r"\boxed{{}}",
    "{L}) {T}\n{W}) {X}", "I think option {L} says more than option {W}.",
)  # fmt: skip


@dataclass
class Counts:
    """How the reader did: chains that state an option, and those that state none."""

    stated: int = 0
    not_stated: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    as_another: Counter[str] = field(default_factory=Counter)
    invented: Counter[str] = field(default_factory=Counter)


def filled(form: str, options: list[str], right: int, other: int) -> str:
    """A form as a chain about these options."""
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))
    return form.format(
        L=LETTERS[right],
        l=LETTERS[right].lower(),
        T=options[right],
        W=LETTERS[other],
        X=options[other],
        Q=listed,
    )


def count(problems: Iterable[Problem]) -> Counts:
    """Every form over every problem. What is read counts by what the grader makes of it."""
    counts = Counts()
    for number, problem in enumerate(problems):
        options, letter = problem.reference["options"], problem.reference["letter"]
        right = LETTERS.index(letter)
        other = (right + 1 + number % (len(options) - 1)) % len(options)
        for form in STATED:
            answer = last_option("Let us think. " + filled(form, options, right, other))
            verdict = option.quick(answer, problem.reference) if answer is not None else None
            counts.stated += 1
            if verdict is None or verdict.rule == "not-an-option":
                counts.missed[form] += 1
            elif not verdict.correct:
                counts.as_another[form] += 1
        for form in NOT_STATED:
            answer = last_option(filled(form, options, right, other))
            counts.not_stated += 1
            if answer is not None and option.quick(answer, problem.reference).rule != "not-an-option":
                counts.invented[form] += 1
    return counts


if __name__ == "__main__":
    from evolve_llm.scheme.problem_sets import load_problems

    found = count(load_problems(sys.argv[1]))
    print(
        f"{len(STATED)} forms, {found.stated:,} chains that state an option: {found.missed.total()} not read, "
        f"{found.as_another.total()} read as another"
    )
    print(
        f"{len(NOT_STATED)} forms, {found.not_stated:,} chains that state none: {found.invented.total()} read as one"
    )
    for form, times in (found.missed + found.as_another + found.invented).most_common(12):
        print(f"{times:5} {form!r}")
