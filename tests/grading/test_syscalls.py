"""Invariant I9: the filter of system calls refuses what breaks out of namespaces, and nothing that programs need."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest

from evolve_llm.grading import sandbox, syscalls

pytestmark = pytest.mark.sandbox
NEEDS_FILTER = pytest.mark.skipif(syscalls.missing() is not None, reason=f"no filter: {syscalls.missing()}")

ASKS = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
def ask(name, *arguments):
    ctypes.set_errno(0)
    return ctypes.get_errno() if getattr(libc, name)(*arguments) == -1 else 0
NEWUSER, NEWNET, SIGCHLD = 0x10000000, 0x40000000, 17
CLONE = 56 if os.uname().machine == "x86_64" else 220
print(json.dumps({
    "trace": ask("ptrace", 16, 1, 0, 0),
    "read another's memory": ask("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "mount": ask("mount", b"none", b"/tmp", b"tmpfs", 0, 0),
    "a new user namespace": ask("unshare", NEWUSER),
    "a new network": ask("unshare", NEWNET),
    "enter a namespace": ask("setns", 0, 0),
    "a child in a new namespace": ask("syscall", CLONE, NEWUSER | SIGCHLD, 0, 0, 0, 0),
    "an inet socket": ask("socket", 2, 1, 0),
    "a netlink socket": ask("socket", 16, 3, 0),
    "a packet socket": ask("socket", 17, 3, 0),
    "a kernel crypto socket": ask("socket", 38, 5, 0),
    "a socket to the host of the virtual machine": ask("socket", 40, 1, 0),
}))
"""

NEEDS = """
import asyncio, multiprocessing, os, socket, subprocess, sys, tempfile, threading, time
seen = []
thread = threading.Thread(target=seen.append, args=("thread",)); thread.start(); thread.join()
seen.append(subprocess.run([sys.executable, "-c", "print('process')"], capture_output=True, text=True).stdout.strip())
asyncio.run(asyncio.sleep(0)); seen.append("asyncio")
one, two = socket.socketpair(); one.send(b"pair"); seen.append(two.recv(9).decode())
socket.socket(socket.AF_UNIX).close(); seen.append("unix")
with multiprocessing.get_context("fork").Pool(2) as pool: seen.append(pool.map(abs, [-1, -2]))
with tempfile.TemporaryFile() as file: file.write(b"x")
time.sleep(0.01); os.urandom(4)
print(seen)
"""


def inside(code: str, *, filtered: bool = True) -> str:
    with syscalls.opened() as filters:
        line = sandbox.command([sys.executable, "-P", "-c", code], filters=filters if filtered else ())
        done = subprocess.run(
            line, pass_fds=filters, capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


@NEEDS_FILTER
def test_what_leads_out_of_namespaces_is_refused() -> None:
    assert set(json.loads(inside(ASKS)).values()) == {errno.EPERM}


@NEEDS_FILTER
def test_it_is_the_filter_that_refuses() -> None:
    code = "import ctypes; print(ctypes.CDLL(None).socket(2, 1, 0) >= 0)"
    assert inside(code, filtered=False).strip() == "True"
    assert inside(code).strip() == "False"


@NEEDS_FILTER
def test_what_programs_need_still_works() -> None:
    assert inside(NEEDS).strip() == "['thread', 'process', 'asyncio', 'pair', 'unix', [1, 2]]"


@NEEDS_FILTER
def test_each_start_has_a_filter_of_its_own() -> None:
    for _ in range(2):
        assert "Seccomp:\t2" in inside("print(open('/proc/self/status').read())")


def test_without_the_library_there_is_a_sandbox_and_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    syscalls._program.cache_clear()
    try:
        with syscalls.opened() as filters:
            assert filters == ()
        assert "evolve-llm[sandbox]" in (
            syscalls.missing() or "no seccomp in this kernel: evolve-llm[sandbox]"
        )
        assert inside("print(1)").strip() == "1"
    finally:
        syscalls._program.cache_clear()
