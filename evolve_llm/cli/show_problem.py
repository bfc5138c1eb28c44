"""One problem, one generation of it, or one candidate for ``show``: first as data, then on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evolve_llm.analysis.metrics import measure
from evolve_llm.cli.console import console
from evolve_llm.cli.grid_picture import drawn, picture
from evolve_llm.cli.tables import make_table, share, styled, verdict_cell
from evolve_llm.cli.text import one_line, printable
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.export import candidate_row
from evolve_llm.record.store import Store, StoredPopulation

if TYPE_CHECKING:
    from evolve_llm.scheme.formats import Placed

Data = dict[str, Any]
_Verdicts = Mapping[str | None, Verdict]


def problem_data(store: Store, order: int) -> Data:
    """A problem with its generations, their answers by class, and the lineage of its answer."""
    problem, populations, verdicts = store.problems()[order], store.populations(order), store.verdicts(order)
    uid, answer = store.answers().get(order, (None, None))
    born = {one.uid: one for one in store.candidates(order)}
    return {
        "id": problem.id,
        "question": problem.question,
        **({"pictures": [str(one) for one in problem.pictures]} if problem.pictures else {}),
        "reference": problem.reference,
        "format": problem.format,
        "grader": problem.grader,
        "finished": order in store.finished(),
        "answer": answer,
        "candidate": uid,
        "verdict": _grade(verdicts, answer) if uid is not None else None,
        "generations": [_generation(one) for one in populations],
        "lineage": [_ancestor(one, verdicts) for one in _ancestors(born, uid)],
    }


def generation_data(store: Store, order: int, number: int) -> Data:
    """Every member of one finished generation, without the texts."""
    populations, verdicts = store.populations(order), store.verdicts(order)
    found = next((one for one in populations if one.generation == number), None)
    if found is None:
        last = f"0 to {len(populations) - 1}" if populations else "none"
        raise UserError(f"generation {number} is not finished; the finished ones are: {last}")
    return {
        "id": store.problems()[order].id,
        **_generation(found),
        "members": [_ancestor(one, verdicts) for one in found.members],
    }


def candidate_data(store: Store, order: int, uid: str) -> Data:
    """One candidate with its text and its children."""
    candidates = store.candidates(order, texts=True)
    found = next((one for one in candidates if one.uid == uid), None)
    if found is None:
        some = ", ".join(one.uid for one in candidates[:4])
        raise UserError(
            f"no candidate {uid!r}; write GENERATION.SLOT of a finished generation"
            + (f", for example {some}" if some else " (none is finished yet)")
        )
    answering = store.answers().get(order, (None, None))[0]
    row = candidate_row(found, store.verdicts(order).get(found.answer), is_answer=uid == answering)
    return {**row, "copied": found.copied, "children": [one.uid for one in candidates if uid in one.parents]}


def print_problem(data: Data) -> None:
    """Print a problem on standard output."""
    out = console()
    pictures = _pictures(data["format"])
    _print_pairs(
        {
            "problem": one_line(data["id"], 200),
            "question": drawn(data["question"].strip(), pictures(data["question"].strip()))
            if pictures
            else printable(data["question"]).strip(),
            **({"pictures": "; ".join(data["pictures"])} if "pictures" in data else {}),
            "reference": _reference(data["reference"], drawable=pictures is not None),
            "answer": _answer_line(data),
        }
    )
    if pictures and data["answer"] is not None:
        out.print(styled("\nThe answer as a picture", "bold"))
        out.print(drawn(data["answer"], pictures(data["answer"])))
    table = make_table([("gen", "right"), ("pass@1", "right"), ("votes", "right"), ("answer", "left"),
                        ("verdict", "left"), ("rule", "left")])  # fmt: skip
    for row in data["generations"]:
        head = (str(row["generation"]), share(row["pass@1"]))
        for one in row["answers"]:
            table.add_row(
                *head,
                str(one["votes"]),
                styled("no answer in the chain" if one["answer"] is None else one_line(one["answer"])),
                verdict_cell(one["verdict"]),
                styled(one_line(one["rule"] or "", 24)),
            )
            head = ("", "")
        if row["failed"]:
            table.add_row(*head, str(row["failed"]), styled("failed", "dim"), "", "")
    out.print()
    out.print(table)
    if data["lineage"]:
        out.print(styled("\nHow the answer came about: each candidate and its parents", "bold"))
        _print_candidates(data["lineage"])


def print_generation(data: Data) -> None:
    """Print a generation on standard output."""
    _print_pairs({"problem": one_line(data["id"], 200), "generation": str(data["generation"])})
    console().print()
    _print_candidates(data["members"])


def print_thoughts(data: Data) -> None:
    """A candidate on standard output, its thinking and its text last."""
    print_candidate(data, thinking=True)


def print_candidate(data: Data, *, thinking: bool = False) -> None:
    """A candidate on standard output, its text last."""
    verdict = data["verdict"] or "-"
    thought = data["reasoning"] or ""
    _print_pairs(
        {
            "candidate": f"{data['uid']} of {one_line(data['problem'], 200)}"
            + (", the answer of its problem" if data["is_answer"] else ""),
            "made by": one_line(data["operator"]) + (" (a copy)" if data["copied"] else ""),
            "parents": " ".join(data["parents"]) or "none",
            "dropped": " ".join(data["dropped"]) or "none",
            **_not_read(data),
            "children": " ".join(data["children"]) or "none",
            "status": one_line(data["status"] + (f": {data['reason']}" if data["reason"] else "")),
            "tokens": f"{data['prompt_tokens']:,} prompt ({data['cached_tokens']:,} cached), "
            f"{data['completion_tokens']:,} completion",
            "fitness": "none"
            if data["fitness"] is None
            else ", ".join(f"{one:g}" for one in data["fitness"]),
            "answer": "none" if data["answer"] is None else one_line(data["answer"], 400),
            "verdict": verdict + (f" by {one_line(data['rule'], 40)}" if data["rule"] else ""),
            **(
                {"thinking": f"{len(thought):,} characters: --thinking shows them"}
                if thought and not thinking
                else {}
            ),
        }
    )
    out = console()
    out.print()
    if thinking:
        out.print(styled(printable(thought.strip()) or "(no thinking)", "dim"), soft_wrap=True)
    out.print(styled(printable(data["text"])), soft_wrap=True)


def _not_read(data: Data) -> dict[str, str]:
    """What of its planned parents a candidate did not read, if anything."""
    cut = [(uid, tokens) for uid, tokens in zip(data["parents"], data["cut"], strict=False) if tokens]
    found = {"left out": " ".join(data["left_out"])} if data["left_out"] else {}
    if cut:
        found["not read"] = ", ".join(f"{tokens:,} tokens of {uid}" for uid, tokens in cut)
    return found


def _pictures(format: str) -> Callable[[str], Sequence[Placed]] | None:
    """How the answer format finds the grids of a text; None where it has none, or is no longer installed."""
    from evolve_llm.scheme import registry

    try:
        found: Callable[[str], Sequence[Placed]] | None = registry.load("answer format", format).pictures
    except (UserError, AttributeError):
        return None
    return found


def _reference(reference: Any, *, drawable: bool) -> Any:
    if reference is None:
        return "none"
    return picture(reference) if drawable and _is_grid(reference) else one_line(str(reference), 200)


def _is_grid(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(row, list) and all(type(cell) is int for cell in row) for row in value)
    )


def _print_pairs(pairs: Mapping[str, Any]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, value in pairs.items():
        table.add_row(styled(name, "bold"), styled(value) if isinstance(value, str) else value)
    console().print(table)


def _print_candidates(rows: Iterable[Data]) -> None:
    table = make_table(
        [(name, "left") for name in ("candidate", "made by", "parents", "status", "answer", "verdict")]
    )
    for one in rows:
        table.add_row(
            one["uid"],
            styled(one_line(one["operator"], 24)),
            " ".join(one["parents"]),
            styled(one_line(one["status"])),
            styled(one_line(one["answer"] or "-")),
            verdict_cell(one["verdict"]),
        )
    console().print(table)


def _answer_line(data: Data) -> str:
    if data["candidate"] is None:
        return "none: every candidate failed" if data["finished"] else "not finished"
    answer = "none in the chain" if data["answer"] is None else one_line(data["answer"], 200)
    return f"{answer} (candidate {data['candidate']}" + (f", {data['verdict']})" if data["verdict"] else ")")


def _generation(population: StoredPopulation) -> Data:
    metrics = measure(population.members, population.verdicts)
    live = [one for one in population.members if not one.failed]
    votes = Counter(one.answer_class for one in live)
    first: dict[str | None, Candidate] = {one.answer_class: one for one in reversed(live)}
    answers = []
    for name, count in votes.most_common():
        verdict = population.verdicts.get(first[name].uid)
        answers.append(
            {
                "answer": first[name].answer,
                "votes": count,
                "verdict": verdict.grade.value if verdict else None,
                "rule": verdict.rule if verdict else None,
            }
        )
    return {
        "generation": population.generation,
        "pass@1": metrics.pass_1,
        "pass@N": metrics.pass_n,
        "majority": metrics.majority,
        "distinct": metrics.distinct,
        "truncated": metrics.truncated,
        "failed": metrics.failed,
        "ungraded": metrics.ungraded,
        "answers": answers,
    }


def _ancestors(born: Mapping[str, Candidate], uid: str | None) -> list[Candidate]:
    """A candidate and all it descends from, youngest first."""
    found: dict[str, Candidate] = {}
    waiting = [uid] if uid is not None else []
    while waiting:
        name = waiting.pop()
        if name not in found and name in born:
            found[name] = born[name]
            waiting += born[name].parents
    return sorted(found.values(), key=lambda one: (-one.generation, one.slot))


def _ancestor(one: Candidate, verdicts: _Verdicts) -> Data:
    return {
        "uid": one.uid,
        "operator": one.operator,
        "parents": list(one.parents),
        "status": one.status.value,
        "answer": one.answer,
        "verdict": None if one.failed else _grade(verdicts, one.answer),
    }


def _grade(verdicts: _Verdicts, answer: str | None) -> str | None:
    return verdicts[answer].grade.value if answer in verdicts else None
