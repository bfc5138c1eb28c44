r"""Answers as the data sets and models of others write them: kinds of spelling, near misses beside each.

For each kind: pairs that are equal by verdict, in both directions unless marked, and whose canonical forms, which votes
count, are equal; and near misses that are neither.
"""

from __future__ import annotations

import time

import pytest

from evolve_llm.grading.math import grader
from evolve_llm.nouns.verdict import Grade
from evolve_llm.scheme.formats import final_boxes, last_boxed, stated

SAME: dict[str, list[tuple[str, str]]] = {
    "thin spaces and thousands": [
        (r"11{,}111", "11111"),
        (r"32,\! 349", "32349"),
        (r"11,\! 111,\! 111,\! 100", "11111111100"),
        (r"32,\!349", "32,349"),
        (r"1\,000", "1000"),
        (r"12\ 345\ 678", "12345678"),
        (r"1~000", "1000"),
        ("1 000", "1000"),
        ("-12 345.5", "-12345.5"),
        (r"2{,}000{,}001", "2000001"),
        ("0,5", "0.5"),
        ("1000,99", "1000.99"),
        ("0,111", "0.111"),
    ],
    "names before values": [
        ("(p,q)=(3,2)", "(3,2)"),
        ("x = 5", "5"),
        ("A:B=1", "1"),
        ("x_1 = 2, x_2 = 7", "2, 7"),
        (r"x_{1}=\frac12, x_{2}=3", r"\frac12, 3"),
        ("W(x)=1", "1"),
        (r"W(x)=1 or W(x)=-1", "1, -1"),
        ("k = 45, n = 2", "n = 2, k = 45"),
        (r"(x, y) = (5, 8)", "(5,8)"),
        ("f(x) = 2x+1", "2x+1"),
        (r"\angle ABC = 30", "30"),
    ],
    "lists in words": [
        ("1 and 2 and 3", "1, 2, 3"),
        ("21, 16 or 11", "11, 16, 21"),
        (r"19, 46, \text{ and } 82", "19, 46, 82"),
        (r"\pm 2021", "2021, -2021"),
        (r"(11,7) or (7,11)", "(7,11), (11,7)"),
        (r"(11,7)or(7,11)", "(11,7),(7,11)"),
        ("$1$ and $2$", "1, 2"),
        (r"2 \text{ or } 6", r"\{2, 6\}"),
        (r"{2, 3, 5}", r"\{5, 3, 2\}"),
        (r"x=2 \quad \text{or} \quad x=3", "2, 3"),
    ],
    "inequalities and intervals": [
        (r"-2 \le x \le 7", "[-2,7]"),
        (r"x \in [-2,7]", r"-2 \leq x \leq 7"),
        ("0 < f(x) < 1", "(0,1)"),
        ("x >= 5", r"x \geq 5"),
        (r"x \ge 5", r"x \geqslant 5"),
        (r"x > 5", r"(5,\infty)"),
        (r"5 < x", r"x \gt 5"),
        (r"7 > x \geq -2", "[-2,7)"),
        (r"x <= 2", r"(-\infty, 2]"),
        (r"-793 < a < 10", "(-793, 10)"),
    ],
    "percent and degrees in words": [
        ("28 pct", r"28\%"),
        ("28 percent", r"28\%"),
        ("28 percentage", r"28\%"),
        (r"28 \text{ percent}", "28%"),
        ("30 degrees", r"30^\circ"),
        (r"30 \text{ degrees}", "30°"),
        (r"30^{\circ}", "30 degree"),
        ("28pct", "28 percent"),
    ],
    "matrices": [
        (
            r"\left[\begin{array}{cc}1 & 2 \\ 3 & 4\end{array}\right]",
            r"\begin{pmatrix}1 & 2 \\ 3 & 4\end{pmatrix}",
        ),
        (r"\begin{bmatrix}0.5 & 2\end{bmatrix}", r"\begin{pmatrix}\frac12 & 2\end{pmatrix}"),
        (r"\left(\begin{array}{c}1\\2\end{array}\right)", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"\begin{pmatrix}1{,}000\\ 2\end{pmatrix}", r"\begin{bmatrix}1000\\2\end{bmatrix}"),
        (r"(\begin{pmatrix}1\\2\end{pmatrix})", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"\begin{pmatrix} \sqrt{4} & 0 \\ 0 & 1 \end{pmatrix}", r"\begin{pmatrix}2&0\\0&1\end{pmatrix}"),
        (r"\begin{array}{ll}1&2\end{array}", r"\begin{matrix}1 & 2\end{matrix}"),
        (r"\begin{pmatrix}\dfrac{2}{4}\\[2pt] 3\end{pmatrix}", r"\begin{pmatrix}1/2\\3\end{pmatrix}"),
    ],
    "equations up to a factor": [
        ("2x+4y-3=0", r"y=-\frac{1}{2}x+\frac{3}{4}"),
        ("2x+4y-3=0", "4x+8y=6"),
        ("3 = x + y", "x + y - 3 = 0"),
        ("y = 2x + 1", "2x - y + 1 = 0"),
        ("y - 1 = 2(x - 1)", "y = 2x - 1"),
        ("x^2 + y^2 = 4", "2x^2 + 2y^2 - 8 = 0"),
        ("x/2 + y/3 = 1", "3x + 2y = 6"),
        ("-x + y = 0", "x - y = 0"),
    ],
    "text around the value": [
        (r"The answer is 42", "42"),
        (r"\text{The answer is }42", "42"),
        (r"\text{Answer: } 42", "42"),
        (r"\fbox{120}", "120"),
        (r"3{:}30", "3:30"),
        (r"The final answer is $\frac{1}{2}$", "0.5"),
        (r"\text{The solutions are } 2 \text{ and } 3", "2, 3"),
        (r"The value is: 7", "7"),
        (r"\\frac{1}{2}", r"\frac{1}{2}"),
    ],
}

NEAR: dict[str, list[tuple[str, str]]] = {
    "thin spaces and thousands": [
        ("1, 000", "1000"),
        ("1 00", "100"),
        ("10,00", "1000"),
        (r"11{,}11", "1111"),
        ("1 2 3", "123"),
        ("0,5", "5"),
        ("1000,99", "100099"),
        ("1,2", "12"),
    ],
    "names before values": [
        ("(p,q)=(2,3)", "(3,2)"),
        ("x = 5", "y = 5"),
        ("n = 3k", "3"),
        ("k = 2, n = 45", "k = 45, n = 2"),
        ("x_1 = 3", "x_2 = 3"),
        ("A:B=2", "1"),
        ("(x,y)=(5,8)", "(y,x)=(5,8)"),
        ("x = 2, y = 1", "1, 2"),
    ],
    "lists in words": [
        ("1 and 2", "1, 2, 3"),
        (r"\pm 2021", "2021"),
        ("2 or 3", "2"),
        ("21, 16", "21, 16, 11"),
        ("(1,2) or (2,1)", "(1,2)"),
        (r"(1,2)", r"\{1,2\}"),
        ("1 and 2", "12"),
        ("red and blue", "red, blue"),
    ],
    "inequalities and intervals": [
        (r"-2 < x \le 7", "[-2,7]"),
        ("x >= 5", "x > 5"),
        (r"x \in [-2,7]", r"-2 \le x \le 8"),
        ("x > 5", "5"),
        ("0 < x < 1", "[0,1)"),
        (r"x < 5", r"(5,\infty)"),
        ("x > 5", "y > 5"),
        (r"x \ne 5", r"x \ge 5"),
    ],
    "percent and degrees in words": [
        ("28 pct", "2800"),
        ("28 percent", "27%"),
        ("0.28 percent", r"28\%"),
        ("30 degrees", "31°"),
        ("30 degrees", "30 radians"),
        ("3 hours", "3 minutes"),
        ("28 percent", "280"),
        ("5 cm", "5 kg"),
    ],
    "matrices": [
        (r"\begin{pmatrix}1 & 2\end{pmatrix}", r"\begin{pmatrix}1 \\ 2\end{pmatrix}"),
        (r"\begin{pmatrix}1 & 2\end{pmatrix}", r"\begin{pmatrix}2 & 1\end{pmatrix}"),
        (r"\begin{pmatrix}0.33\\0.2\end{pmatrix}", r"\begin{pmatrix}\frac13\\ \frac15\end{pmatrix}"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"),
        (r"\begin{bmatrix}1\end{bmatrix}", r"\begin{bmatrix}2\end{bmatrix}"),
        (r"\begin{pmatrix}1&3\\2&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
        (r"\begin{pmatrix}1\\2\\3\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    ],
    "equations up to a factor": [
        ("2x+4y-3=0", "2x+4y+3=0"),
        ("y = 2x", "y = 3x"),
        ("x + y = 1", "x - y = 1"),
        ("x^2 = 4", "x = 2"),
        ("x + y = 0", "x + z = 0"),
        ("2x + 4y = 3", "2x + 4y"),
        ("x = y", "x = -y"),
        ("x^2 + y^2 = 4", "x^2 + y^2 = 2"),
    ],
    "text around the value": [
        ("The answer is 42", "24"),
        (r"\text{The answer is not }42", "43"),
        (r"\text{red}", "42"),
        (r"3{:}30", "330"),
        ("The ratio is 3 to 4", "3"),
        (r"\fbox{120}", "12"),
        ("The answer is 42 or 43", "42"),
        ("between 12 and 13", "12"),
    ],
}

KINDS = list(SAME)
ONE_CLASS = {  # votes drop names and units, as docs/grading.md says: nobody votes for another variable
    ("x = 5", "y = 5"),
    ("x_1 = 3", "x_2 = 3"),
    ("(x,y)=(5,8)", "(y,x)=(5,8)"),
    ("x > 5", "y > 5"),
    ("30 degrees", "30 radians"),
    ("3 hours", "3 minutes"),
    ("5 cm", "5 kg"),
}


def verdict(answer: str, reference: str) -> Grade:
    return (grader.quick(answer, reference) or grader.grade(answer, reference)).grade


def form(answer: str) -> str:
    return grader.quick_canonical(answer) or grader.canonical(answer)


def test_there_are_enough_of_each() -> None:
    assert NEAR.keys() == SAME.keys()
    assert all(len(pairs) >= 8 for kinds in (SAME, NEAR) for pairs in kinds.values())


@pytest.mark.parametrize(("one", "other"), [pair for kind in KINDS for pair in SAME[kind]])
def test_one_answer_in_two_spellings(one: str, other: str) -> None:
    assert verdict(one, other) is Grade.CORRECT
    assert verdict(other, one) is Grade.CORRECT
    assert form(one) == form(other)


@pytest.mark.parametrize(("one", "other"), [pair for kind in KINDS for pair in NEAR[kind]])
def test_two_answers_that_look_alike(one: str, other: str) -> None:
    assert verdict(one, other) is not Grade.CORRECT
    assert verdict(other, one) is not Grade.CORRECT
    assert (form(one) == form(other)) == ((one, other) in ONE_CLASS)


# ---------------------------------------------------------------- several boxes

BOXES = {
    r"\boxed{2} and \boxed{6}": "2, 6",
    r"\boxed{1},\boxed{2}": "1, 2",
    r"\boxed{2}" + "\n\n" + r"\boxed{6}": "2, 6",
    r"$$\boxed{(98, 2)} \quad \text{and} \quad \boxed{(99, 503)}$$": "(98, 2), (99, 503)",
    r"(a) \boxed{3}" + "\n" + r"(b) \boxed{4}": "3, 4",
    r"1. $\boxed{3}$" + "\n" + r"2. $\boxed{4}$": "3, 4",
    r"\(y_1 = \boxed{a} \) and \( y_2 = \boxed{b} \)": "y_1 = a, y_2 = b",
    r"k = \boxed{45}, n = \boxed{2}": "k = 45, n = 2",
    r"$$\boxed{(3, 3)} \text{ for part (a) and } \boxed{(1, 1)}$$": "(3, 3), (1, 1)",
    r"\boxed{1} papers and \boxed{2} bins": "1, 2",
    r"\boxed{5} \boxed{5}": "5",
    r"so $\boxed{7}$. Thus the answer is $\boxed{7}$": "7",
}
LAST_ALONE = {
    r"so \boxed{1} then \boxed{2}": "2",
    r"\boxed{3}. Wait, that is wrong. \boxed{4}": "4",
    r"\boxed{3}, no, \boxed{4}": "4",
    r"We get $a=\boxed{3}$ so that $a+b=\boxed{7}$": "7",
    r"\boxed{3} or rather \boxed{4}": "4",
    r"\boxed{3} and therefore the sum is \boxed{9}": "9",
    r"First \boxed{3}. Checking again gives \boxed{4}": "4",
    r"\boxed{3} Actually, \boxed{4}": "4",
    r"\boxed{3} corrected: \boxed{4}": "4",
    r"\boxed{12} and 12 + 3 = \boxed{15}": "15",
}


@pytest.mark.parametrize(("text", "found"), BOXES.items())
def test_boxes_of_one_statement_are_one_answer(text: str, found: str) -> None:
    assert final_boxes(text) == found


@pytest.mark.parametrize(("text", "found"), LAST_ALONE.items())
def test_a_correction_or_a_later_step_is_read_alone(text: str, found: str) -> None:
    assert final_boxes(text) == found == last_boxed(text)


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        (r"\boxed{2} and \boxed{6}", "2, 6", True),
        (r"\boxed{6} and \boxed{2}", r"\{2, 6\}", True),
        (r"\boxed{2} and \boxed{6}", "6", False),
        (r"\boxed{k = 45} and \boxed{n = 2}", "k = 45, n = 2", True),
        (r"\boxed{n = 2} and \boxed{k = 45}", "k = 45, n = 2", True),
        (r"\boxed{n = 45} and \boxed{k = 2}", "k = 45, n = 2", False),
        (r"\boxed{\frac12} or \boxed{0.5}", "1/2", True),
        (r"\boxed{2}, \boxed{6}, \boxed{7}", "2, 6", False),
        (r"\boxed{3}. No, it is \boxed{4}", "4", True),
        (r"\boxed{1} and \boxed{2}", r"\boxed{1}\boxed{2}", True),
    ],
)
def test_several_boxes_against_a_reference(text: str, gold: str, right: bool) -> None:
    assert (verdict(final_boxes(text) or "", gold) is Grade.CORRECT) == right


# ---------------------------------------------------------------- no box at all

STATED = {
    "The final answer is 42.": "42",
    "So the answer is $12$ and $13$. I hope it is correct.": "$12$ and $13$",
    "Final Answer: The volume of $ABCDEFGH$ is 120. I hope it is correct.": "120",
    "Final Answer: Jane started growing Sphere 3 hours ago.": "3",
    "We find that $x \\lt 3$.": "x \\lt 3",
    "Hence the probability is 2/3. <|im_start|>user Next?": "2/3",
    "Therefore $x \\geq 5$ is the solution.": "x \\geq 5",
    "First 3.\nThen 4.\n\n**Answer:** 7": "7",
    "It costs $1,234.50 in all.": "$1,234.50",
    r"Final: \boxed{8} is the answer": "8",
}


@pytest.mark.parametrize(("text", "found"), STATED.items())
def test_the_last_statement_is_read_where_a_set_asks_for_it(text: str, found: str) -> None:
    assert stated(text) is not None
    assert verdict(stated(text) or "", found) is Grade.CORRECT


@pytest.mark.parametrize("text", ["", "I do not know.", "   \n", "<|im_end|>", "No idea at all!"])
def test_nothing_stated_is_no_answer(text: str) -> None:
    assert stated(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "The answer is " * 50_000,
        "$" * 200_000,
        "1 " * 200_000,
        r"\boxed{1} and " * 40_000,
        "x" * 90_000 + " is 5",
        "<" * 90_000,
        "a and " * 30_000 + "1",
        r"\begin{array}{c}" * 5_000,
        "(" * 50_000 + "=" + ")" * 50_000,
        "1{,}" * 30_000 + "000",
        "x_1 = 1, " * 20_000,
    ],
    ids=lambda text: text[:12],
)
def test_no_reading_takes_more_than_a_moment(text: str) -> None:
    started = time.process_time()  # of this process: a busy machine is no fault of the reading
    stated(text)
    grader.quick(text, "5")
    grader.quick_canonical(text)
    grader.quick("5", text[:4000])
    assert time.process_time() - started < 3.0
