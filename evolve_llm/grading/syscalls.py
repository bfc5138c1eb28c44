"""System calls that nothing inside a sandbox may make: a seccomp filter, handed to bubblewrap as a descriptor.

Namespaces hide what is outside; the filter keeps hostile code from the parts of the kernel in which most holes were
found (tracing, mounts, new namespaces, keys, BPF, io_uring) and from sockets that no namespace holds (AF_VSOCK).
A refused call fails with EPERM, as if it were for the superuser alone. PyPI's ``pyseccomp`` makes the filter; without
it, or without libseccomp, a sandbox is namespaces alone, and ``evolve-llm doctor`` says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import socket
from collections.abc import Iterator
from typing import Any

REFUSED = (
    # another process's memory, registers and descriptors
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    # mounts and namespaces
    "mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree",
    "move_mount", "mount_setattr", "unshare", "setns",
    # keys, which belong to a user and not to a sandbox
    "keyctl", "add_key", "request_key",
    # programs inside the kernel, and ways around the calls looked at here
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "name_to_handle_at", "open_by_handle_at", "fanotify_init", "lookup_dcookie", "vmsplice",
    # the machine itself
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
    "acct", "quotactl", "quotactl_fd", "syslog", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "iopl",
    "ioperm", "modify_ldt", "vhangup", "nfsservctl", "sysfs", "uselib", "ustat", "_sysctl", "move_pages",
    "migrate_pages",
)  # fmt: skip
"""Refused whatever their arguments."""

_NEW_NAMESPACES = (
    0x00000080,
    0x00020000,
    0x02000000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_WRITE_TO_TERMINAL = (0x5412, 0x541C)
"""The ioctls TIOCSTI and TIOCLINUX, which type into the terminal of whoever runs us."""
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


@contextlib.contextmanager
def opened() -> Iterator[tuple[int, ...]]:
    """The filter as a descriptor, for ``sandbox.command(filters=…)`` and ``pass_fds``; none where it cannot be made.

    Bubblewrap reads it to its end, so each start needs one of its own.
    """
    body = _program()
    if isinstance(body, str):
        yield ()
        return
    descriptor = os.memfd_create("system-calls")
    try:
        os.write(descriptor, body)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield (descriptor,)
    finally:
        os.close(descriptor)


def missing() -> str | None:
    """None when sandboxes of this process have the filter, else why they have not, with what to do."""
    body = _program()
    return body if isinstance(body, str) else None


@functools.cache
def _program() -> bytes | str:
    """The filter as BPF, or why there is none. Made once a process."""
    if not _kernel_filters():
        return "this kernel filters no system calls (it was built without CONFIG_SECCOMP_FILTER)"
    try:
        import pyseccomp
    except ImportError:
        return "pyseccomp is not installed; pip install 'evolve-llm[sandbox]'"
    except (RuntimeError, OSError) as error:
        return f"{error}; install libseccomp (Debian and Ubuntu: apt install libseccomp2)"
    try:
        made = _made(pyseccomp)
        descriptor = os.memfd_create("system-calls")
        with os.fdopen(descriptor, "w+b") as file:
            made.export_bpf(file)
            file.seek(0)
            return file.read()
    except (OSError, ValueError) as error:
        return f"libseccomp cannot make the filter ({error})"


def _made(library: Any) -> Any:
    """Everything allowed but what is refused above. A call of another architecture (32-bit, x32) ends the process."""
    made = library.SyscallFilter(library.ALLOW)
    refuse = library.ERRNO(errno.EPERM)
    with contextlib.suppress(
        OSError
    ):  # libseccomp before 2.5: a list is searched from its start, and as right
        made.set_attr(library.Attr.CTL_OPTIMIZE, 2)

    def rule(action: int, name: str, *arguments: Any) -> None:
        number = library.resolve_syscall(library.Arch.NATIVE, name)
        if number >= 0:  # below: not a call of this architecture, or one that libseccomp does not know yet
            made.add_rule(action, number, *arguments)

    for name in REFUSED:
        rule(refuse, name)
    for flag in _NEW_NAMESPACES:
        rule(refuse, "clone", library.Arg(0, library.MASKED_EQ, flag, flag))
    # clone3's flags lie in memory, where no filter sees them; C libraries then fall back to clone.
    rule(library.ERRNO(errno.ENOSYS), "clone3")
    rule(refuse, "socket", library.Arg(0, library.NE, int(socket.AF_UNIX)))
    for request in _WRITE_TO_TERMINAL:
        rule(refuse, "ioctl", library.Arg(1, library.MASKED_EQ, 0xFFFFFFFF, request))
    return made


def _kernel_filters() -> bool:
    """Whether a filter can be set here: a null pointer is then a bad address and not a bad argument."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, None, 0, 0)
    except (OSError, AttributeError):
        return False
    return ctypes.get_errno() == errno.EFAULT
