"""Every error a caller may want to catch. Each message says what was wrong, the value, and what to do."""

from __future__ import annotations


class EvolveError(Exception):
    """Base of all errors raised on purpose. ``exit_code`` is what the command line exits with."""

    exit_code = 1


class UserError(EvolveError):
    """The request cannot be carried out as written: found before a token is spent where possible."""

    exit_code = 2


class StoreError(EvolveError):
    """The run directory cannot be read or written (disk full, damaged, locked by another process)."""

    exit_code = 4


class OperatorError(EvolveError):
    """An operator broke its contract: raised, returned the wrong number, or returned strangers."""

    exit_code = 5


class BackendError(EvolveError):
    """The model as a whole cannot be used: dead server, wrong key, no such model, engine died.

    Ends the run at once. Nothing stored is lost, nothing in flight is marked as failed, and the
    same command resumes once the cause is gone.
    """

    exit_code = 3


def first_of(group: BaseExceptionGroup[EvolveError]) -> EvolveError:
    """The one error of a group to tell the user: the others are consequences of the first."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, EvolveError)
    return found


class RequestError(Exception):
    """One request could not be answered; the run goes on without it.

    ``reason`` is a short stable word stored with the candidate: ``context_overflow``, ``timeout``,
    ``bad_request``, ``empty_response``, ``malformed_response``, ``server_error``, ``content_filter``.
    Raised by backends after their own retries.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class BudgetReached(EvolveError):  # noqa: N818 - an end of the run that was asked for, not a fault
    """The token budget is spent. What was in flight is kept; a larger budget resumes the run."""

    exit_code = 0


class SandboxUnavailable(EvolveError):  # noqa: N818
    """Model-written code cannot be isolated here; the message says how to install bubblewrap."""

    exit_code = 2
