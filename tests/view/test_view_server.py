"""The local server: what it tells, and whom it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from evolve_llm.analysis.compare import compare
from evolve_llm.analysis.run import Run
from evolve_llm.view.folders import find_runs
from evolve_llm.view.memory import Memory
from evolve_llm.view.server import application

ASKED = {"run": "hostile", "place": "0"}


def test_every_run_is_a_line_and_a_damaged_one_says_why(client: TestClient) -> None:
    told = {one["name"]: one for one in client.get("/api/runs").json()}
    assert set(told) == {"hostile", "other", "code", "tex", "half", "newer", "broken"}
    assert told["hostile"]["problems"] == 2
    assert "run.db is missing" in told["half"]["error"] or "lacks" in told["half"]["error"]
    assert "format 99" in told["newer"]["error"]
    assert "cannot be read" in told["broken"]["error"]


def test_generations_are_those_of_the_analysis(client: TestClient, runs: Path) -> None:
    told = client.get("/api/run?run=hostile").json()["generations"]
    for row, known in zip(told, Run(runs / "hostile").generations(), strict=True):
        plain = known.plain()
        assert 0 < row["accuracy"] < 1
        assert row["accuracy"] == pytest.approx(plain["pass@1"])
        assert row["majority"] == pytest.approx(plain["majority"])
        assert row["any_correct"] == pytest.approx(plain["pass@N"])


def test_diversity_is_that_of_the_analysis(client: TestClient, runs: Path) -> None:
    told = client.get("/api/diversity?run=tex").json()["generations"]
    for row, known in zip(told, Run(runs / "tex").generations(), strict=True):
        plain = known.plain()
        assert row["effective_parents"] == pytest.approx(plain["effective_parents"])
        assert row["entropy"] == pytest.approx(plain["entropy"])
        assert (row["minority"], row["lost"]) == (plain["minorities"], plain["lost_minorities"])


def test_runs_are_compared_as_compare_does(client: TestClient, runs: Path) -> None:
    told = client.get("/api/compare?run=hostile&run=other").json()
    known = compare([Run(runs / name) for name in ("hostile", "other")])
    assert [row["estimate"]["difference"] for row in told["contrasts"][0]["rows"]] == [
        row.estimate.difference for row in known.contrasts[0].rows if row.estimate
    ]
    (pair,) = told["pairs"]
    assert (pair["gained"], pair["lost"], len(pair["changed"])) == (0, 2, 2)
    assert pair["points"] == [[0.875, 0.875, 2]]
    assert str(runs) not in client.get("/api/compare?run=hostile&run=other").text


@pytest.mark.parametrize(
    "query", ["", "run=hostile", "run=hostile&run=hostile", "run=hostile&run=tex", "run=a&run=b"]
)
def test_what_cannot_be_compared_is_told(client: TestClient, runs: Path, query: str) -> None:
    answer = client.get(f"/api/compare?{query}")
    assert answer.status_code == 404
    assert answer.json()["error"]
    assert str(runs) not in answer.text


def test_a_run_says_whether_it_is_complete(client: TestClient) -> None:
    told = {one["name"]: one.get("state") for one in client.get("/api/runs").json()}
    assert told["hostile"] == told["tex"] == "complete"


def test_a_candidate_is_told_with_its_parents(client: TestClient) -> None:
    told = client.get("/api/candidate", params={**ASKED, "uid": "1.7"}).json()
    assert told["candidate"]["text"] == "one two three four five six seven eight"
    assert [one["uid"] for one in told["parents"]] == ["0.7", "0.0"]
    assert (told["previous"], told["next"]) == ("1.6", None)


@pytest.mark.parametrize("name", ["../hostile", "/etc", "hostile/../hostile", "", "none", "\x00"])
def test_a_run_outside_the_folders_is_not_found(client: TestClient, name: str) -> None:
    assert client.get("/api/run", params={"run": name}).status_code == 404


@pytest.mark.parametrize("path", ["/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "//etc/passwd"])
def test_no_file_but_the_pages_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("place", ["-1", "x", "99", "9" * 40, "٣"])
def test_a_wrong_number_is_told(client: TestClient, place: str) -> None:
    answer = client.get("/api/problem", params={**ASKED, "place": place})
    assert answer.status_code == 404
    assert answer.json()["error"]


@pytest.mark.parametrize("name", ["newer", "broken", "half"])
def test_a_damaged_run_is_told_in_words(client: TestClient, name: str) -> None:
    answer = client.get("/api/problems", params={"run": name})
    assert answer.status_code == 409
    assert answer.json()["error"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1", ""])
def test_another_host_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:1", "[::1]:8000"])
def test_this_machine_is_served_under_each_of_its_names(client: TestClient, host: str) -> None:
    assert client.get("/api/runs?token=a-token", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_another_origin_is_refused(client: TestClient, origin: str) -> None:
    assert client.get("/api/runs", headers={"origin": origin}).status_code == 403


def test_nobody_writes(client: TestClient) -> None:
    assert client.post("/api/runs").status_code == 405


@pytest.mark.parametrize("path", ["/", "/api/runs", "/main.js", "/?token=wrong", "/?token=%ff"])
def test_without_the_token_nothing_is_told(runs: Path, path: str) -> None:
    stranger = TestClient(application([runs], "a-token"), base_url="http://127.0.0.1:8000")
    answer = stranger.get(path)
    assert answer.status_code == 403
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_link_that_leads_outside_is_no_run(tmp_path: Path, runs: Path) -> None:
    (tmp_path / "out").symlink_to(runs / "hostile")
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "run.json").symlink_to(runs / "hostile" / "run.json")
    assert find_runs([tmp_path]) == {}


def test_grids_are_told_as_numbers_where_the_format_knows_them(tmp_path: Path) -> None:
    from evolve_llm import evolve
    from evolve_llm.nouns.problem import Problem
    from evolve_llm.view import answers

    task = Problem("g", "Input:\n1 2\n3 4\nWhat next?", "grid", "grid", [[4, 3], [2, 1]])
    run = evolve([task], "rsa", "scripted", out=tmp_path / "run", population=2, parents=1, generations=2)
    assert answers.problem(run.path, 0)["grids"] == [[[1, 2], [3, 4]]]
    found = answers.candidate(run.path, 0, "1.0")
    assert isinstance(found["candidate"]["grids"], list)
    assert answers._grids("grid", "<answer>\n1 2\n3 4\n</answer>") == [[[1, 2], [3, 4]]]
    assert answers._grids("boxed", "1 2\n3 4") == answers._grids("gone", "1 2\n3 4") == []


def test_an_answer_is_remembered_until_something_is_written(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    memory, made = Memory(), []

    def answer() -> int:
        made.append(1)
        return len(made)

    assert [memory.answer("a", (tmp_path,), answer) for _ in range(2)] == [1, 1]
    assert memory.answer("b", (tmp_path,), answer) == 2
    (tmp_path / "run.db-wal").write_text("more")
    assert [memory.answer("a", (tmp_path,), answer) for _ in range(2)] == [3, 3]
    assert memory.cost(tmp_path) > 0


def test_what_fails_is_asked_again(tmp_path: Path) -> None:
    memory = Memory()
    with pytest.raises(ZeroDivisionError):
        memory.answer("a", (tmp_path,), lambda: 1 / 0)
    assert memory.answer("a", (tmp_path,), lambda: 1) == 1
