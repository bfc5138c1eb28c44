"""Every mistake gives one clear message and the documented exit code, and keeps what is stored."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cli_helpers import PROBLEMS, Cli, Outcome, start, write_problems
from typer.testing import CliRunner

from evolve_llm.cli.failures import EXIT_CODES
from evolve_llm.cli.main import app
from evolve_llm.record.run_files import take_directory

Run_ = Callable[..., Outcome]

MISTAKES = {
    "unknown operator": (["--set", "select=unifrom"], "'uniform'"),
    "unknown operator parameter": (["--set", "select.tournsize=3"], "tournsize"),
    "unknown preset": (["--preset", "rsaa"], "'rsa'"),
    "missing preset file": (["--preset", "none.toml"], "no such preset file"),
    "unknown problem set": (["--problems", "aime26"], "'aime25'"),
    "missing problem file": (["--problems", "none.jsonl"], "none.jsonl"),
    "unknown problem option": (["--set", "problems.answr=x"], "'answer'"),
    "empty problems": (["--problems", ""], "no problem set"),
    "unknown model": (["--model", "loca"], "'local'"),
    "unknown model option": (["--set", "engine.speed=3"], "speed"),
    "no server of its own": (["--base-url", "http://localhost:1/v1"], "base_url"),
    "a model file that is none": (["--model", "llama_cpp:none.gguf"], "none.gguf"),
    "K above N": (["--population", "2", "--parents", "3"], "cannot exceed population"),
    "no generation": (["--generations", "0"], "generations"),
    "no candidate": (["--population", "0"], "population"),
    "no token": (["--max-tokens", "0"], "max_tokens"),
    "fitness missing": (["--set", "select=tournament"], "evaluate=agreement"),
    "limit": (["--limit", "0"], "at least 1"),
    "concurrency": (["--concurrency", "0"], "at least 1"),
    "budget": (["--budget-tokens", "0"], "at least 1"),
    "seed": (["--seed", "-1"], "seed"),
    "prompts": (["--prompts", "nowhere"], "nowhere"),
    "no key": (["--set", "=3"], "KEY=VALUE"),
    "no value": (["--set", "population"], "KEY=VALUE"),
    "no inner key": (["--set", "engine=3"], "engine.KEY"),
    "an unknown key": (["--set", "populaton=3"], "'population'"),
    "a key twice": (["--set", "population=3", "--set", "population=4"], "twice"),
    "a flag and a key": (["--population", "3", "--set", "population=4"], "same thing"),
    "a wrong type": (["--set", "population=many"], "population"),
    "not a number": (["--population", "many"], "--population"),
    "unknown flag": (["--poplation", "3"], "--population"),
    "a prompt that cannot fit": (["--model", "scripted:context_length=150"], "cannot fit"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gives_one_message_and_exit_code_2(cli: Cli, problems: str, name: str) -> None:
    flags, told = MISTAKES[name]
    defaults = {"--model": "scripted", "--problems": problems, "--out": "here"}
    given = [part for flag, value in defaults.items() if flag not in flags for part in (flag, value)]
    outcome = cli("run", *given, *flags)
    assert outcome.code == 2
    assert outcome.out == ""
    assert told in outcome.err
    if "Usage" not in outcome.err:
        assert outcome.err.startswith(("error: ", "run directory: "))
        assert outcome.err.count("error:") == 1
    assert not Path("here/run.json").exists()


FILES = {
    "empty": (b"", "empty"),
    "binary": (bytes(range(256)) * 40, "bad.jsonl"),
    "half-written": (json.dumps(PROBLEMS[0]).encode() + b'\n{"id": "b", "quest', "bad.jsonl"),
    "missing column": (b'{"id": "a", "text": "What?"}\n', "question"),
    "duplicate id": (2 * (json.dumps(PROBLEMS[0]).encode() + b"\n"), "'a'"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused(cli: Cli, name: str) -> None:
    content, told = FILES[name]
    Path("bad.jsonl").write_bytes(content)
    outcome = cli("run", "--model", "scripted", "--problems", "bad.jsonl")
    assert outcome.code == 2
    assert told in outcome.err


def test_a_directory_of_another_configuration_is_refused_with_the_difference(run: Run_) -> None:
    run("--out", "here")
    before = Path("here/run.db").read_bytes()
    outcome = run("--out", "here", "--seed", "5")
    assert outcome.code == 2
    assert "seed: the run has 0, now it is 5" in outcome.err
    assert Path("here/run.db").read_bytes() == before


def test_folders_and_files_that_are_no_run_directory(cli: Cli, run: Run_) -> None:
    Path("file").write_text("")
    Path("folder").mkdir()
    Path("folder/mine.txt").write_text("")
    for name in ("file", "folder"):
        outcome = run("--out", name)
        assert outcome.code == 2
        assert name in outcome.err
        for command in (["show"], ["regrade"], ["export", "--out", "x.csv"]):
            outcome = cli(command[0], name, *command[1:])
            assert outcome.code == 2
            assert "is not a run directory" in outcome.err
    assert [path.name for path in Path("folder").iterdir()] == ["mine.txt"]


def test_a_second_process_on_the_same_directory_is_refused(run: Run_) -> None:
    run("--out", "here", "--budget-tokens", "400", "--concurrency", "1")
    lock = take_directory(Path("here"))
    try:
        outcome = run("--out", "here")
    finally:
        os.close(lock)
    assert outcome.code == 4
    assert "another process" in outcome.err
    assert run("--out", "here").code == 0


def test_a_damaged_run_is_named(cli: Cli, run: Run_) -> None:
    run("--out", "here")
    Path("here/run.db").write_bytes(b"not a database at all" * 400)
    for command in (["show", "here"], ["regrade", "here"], ["export", "here", "--out", "x.csv"]):
        outcome = cli(*command)
        assert outcome.code == 4
        assert "damaged" in outcome.err
    Path("here/run.json").write_text("{")
    assert cli("show", "here").code == 4


def test_a_full_disk_ends_the_run_with_4_and_loses_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: SQLite meets it in the same place."""
    many = [{"id": str(i), "question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(40)]
    spec = f"{write_problems(tmp_path / 'many.jsonl', many)}?grader=exact"
    flags = ("run", "--model", "scripted", "--problems", spec, "--json", "--out")
    process = start(
        *flags, "small", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert out == ""
    assert "Traceback" not in err
    assert "Free some space" in err
    resumed, whole = start(*flags, "small"), start(*flags, "whole")
    found = json.loads(resumed.communicate(timeout=60)[0])
    expected = json.loads(whole.communicate(timeout=60)[0])
    assert found["problems"] == expected["problems"]
    assert found["generations"] == expected["generations"]


@pytest.fixture
def server() -> Iterator[tuple[str, list[int]]]:
    """A server with one model that wants a key; the list holds the status of every answer."""
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == "Bearer right"
            self._answer(
                200 if known else 401, {"object": "list", "data": [{"id": "tiny", "object": "model"}]}
            )

        def do_POST(self) -> None:
            self._answer(401, {"error": {"message": "wrong key"}})

        def _answer(self, status: int, body: object) -> None:
            data = json.dumps(body if status == 200 else {"error": {"message": "wrong key"}}).encode()
            statuses.append(status)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}/v1", statuses
    served.shutdown()
    served.server_close()


def test_a_dead_server_a_wrong_key_and_a_model_that_is_not_there(
    cli: Cli, problems: str, server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = server
    cases = {
        ("right", "big", url): "tiny",
        ("wrong", "tiny", url): "key",
        ("x", "m", "http://127.0.0.1:9/v1"): ":9",
    }
    for (key, model, address), told in cases.items():
        monkeypatch.setenv("OPENAI_API_KEY", key)
        for command in ("run", "plan"):
            outcome = cli(
                command, "--problems", problems, "--model", f"openai:{model}", "--base-url", address
            )
            assert outcome.code == 3, outcome.err
            assert told in outcome.err
            assert outcome.out == ""


def test_a_model_that_dies_loses_nothing(run: Run_) -> None:
    died = run("--out", "here", model="scripted:die_after=20")
    assert died.code == 3
    assert "died" in died.err
    resumed = run("--out", "here", "--json")
    assert "20 completions are already there" in resumed.err
    assert resumed.json["problems"] == run("--out", "whole", "--json").json["problems"]


def test_an_operator_that_breaks_its_contract_is_named(run: Run_, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("odd_operator.py").write_text("def broken(individuals, k):\n    return individuals[:1] * k\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    outcome = run("--set", "select=odd_operator:broken", "--set", "evaluate=agreement")
    assert outcome.code == 5
    assert "broken" in outcome.err


def test_what_nobody_foresaw_is_one_line_and_a_traceback_on_request(
    run: Run_, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError("by zero\nand more")

    monkeypatch.setattr("evolve_llm.session.session.Session.__post_init__", fault)
    outcome = run()
    assert outcome.code == 1
    assert "error: unexpected ZeroDivisionError: by zero\n" in outcome.err
    assert "--debug" in outcome.err
    monkeypatch.setenv("EVOLVE_LLM_DEBUG", "1")
    assert isinstance(CliRunner().invoke(app, ["run", "--model", "scripted"]).exception, ZeroDivisionError)


def test_the_help_documents_every_exit_code(cli: Cli) -> None:
    text = " ".join(cli("--help").out.split())
    assert all(f"{code} {meaning.split()[0]}" in text for code, meaning in EXIT_CODES.items())
