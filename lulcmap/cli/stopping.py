"""How a command is stopped: by Ctrl-C, SIGTERM, a closed terminal, or ``--timeout``.

The main thread is asked first: ``Stopped`` is raised there, so that files are closed and the
temporary ones removed. But Python raises it only between two of its own instructions. A model that
loops for ever, a host name that never resolves, or a library that swallows the exception would keep
the process. So another thread watches: what has not ended after a few seconds, it ends. That loses
nothing: all files are written whole or not at all, and the kernel releases the locks.
"""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType, TracebackType
from typing import Any, NoReturn

TIMED_OUT = 124
"""Exit code of a command that timed out, as with coreutils' timeout."""

_GRACE_S = 3.0
"""Seconds the main thread has to end by itself."""

_AGAIN_S = 0.5
"""Seconds after which another signal is a second request: coreutils' timeout sends each twice."""

_LAST_WORDS_S = 1.0
"""Seconds the last line may take: nobody may be reading it."""

_DROPPED_S = 0.1
"""Seconds after which a stop that Python dropped is signalled again."""

_ALARM = getattr(signal, "SIGALRM", None)  # Windows has none

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM")
"""Signals that stop a command, where the system has them and nobody ignores them (nohup)."""

_POKE = 0
"""Byte that wakes the watch; any other one is a signal's number."""


class Stopped(BaseException):
    """A signal asks to stop. Not a KeyboardInterrupt, which Click turns into exit code 1."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Watch:
    """Watches over the end of a command, from a thread of its own.

    Args:
        say: called with the exit code before the process ends; prints a line.

    """

    def __init__(self, say: Callable[[int], None]) -> None:
        import socket  # Windows lets signals wake sockets only

        self._say = say
        self._code: int | None = None  # once the command is asked to stop
        self._due: float | None = None  # when --timeout is reached; later, when grace ends
        self._is_raised = self._is_over = False
        self._last_words = threading.Lock()
        self._ears, self._bell = socket.socketpair()
        self._bell.setblocking(False)
        self._thread = threading.Thread(target=self._keep, name="watch", daemon=True)

    def stop_after(self, seconds: float) -> None:
        """Stop the command after some seconds, as Ctrl-C does, with exit code 124."""
        self._due = time.monotonic() + seconds
        self._bell.send(bytes([_POKE]))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Raise ``Stopped`` in the body on a signal or a timeout, and see that it ends."""
        self._thread.start()
        try:
            with self._handling():
                yield
        except Exception as error:
            # An exception raised during a library's import comes out as another error.
            if self._code is not None:
                raise Stopped(self._code) from error
            raise

    def end(self) -> NoReturn:
        """Say why, and end the process at once: other threads may wait for ever."""
        code = self._code or 1
        try:
            guard = threading.Timer(_LAST_WORDS_S, os._exit, [code])
            guard.daemon = True
            guard.start()
            if self._last_words.acquire(blocking=False):
                self._say(code)
                sys.stdout.flush()
                sys.stderr.flush()
        finally:
            os._exit(code)

    @contextmanager
    def _handling(self) -> Iterator[None]:
        """Handle the signals that nobody ignores, and let the thread hear of them."""
        handlers = _handlers() if threading.current_thread() is threading.main_thread() else {}
        hooks = sys.excepthook, sys.unraisablehook
        if handlers:
            others = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        for number in handlers:
            signal.signal(number, self._stop)
        sys.excepthook = partial(self._dropped_by_cython, hooks[0])
        sys.unraisablehook = partial(self._dropped, hooks[1])
        try:
            yield
        finally:
            if not self._is_raised:  # else the thread sees to the end
                self._is_over = True
                if handlers:
                    signal.set_wakeup_fd(others)
                self._bell.close()
                self._thread.join()
                self._ears.close()
                sys.excepthook, sys.unraisablehook = hooks
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def _stop(self, number: int, _: FrameType | None) -> None:
        """In the main thread, between two instructions: raise ``Stopped``, but once."""
        self._code = self._code or 128 + number
        if not self._is_raised:
            self._is_raised = True
            raise Stopped(self._code)

    def _dropped(
        self, others: Callable[["sys.UnraisableHookArgs"], Any], event: "sys.UnraisableHookArgs"
    ) -> None:
        """Raise anew: Python drops an exception raised in a finaliser or a library's callback."""
        if not isinstance(event.exc_value, Stopped):
            others(event)
            return
        self._is_raised = False
        again = threading.Timer(_DROPPED_S, self._interrupt)
        again.daemon = True
        again.start()

    def _dropped_by_cython(
        self,
        others: Callable[[type[BaseException], BaseException, TracebackType | None], Any],
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        """Show no traceback: in a callback, Cython has it printed before the exception drops."""
        if not isinstance(error, Stopped):
            others(kind, error, trace)

    def _keep(self) -> None:
        """The thread: end the process some time after a signal, or a signal after --timeout."""
        asked_at: float | None = None
        while True:
            self._ears.settimeout(self._due and max(self._due - time.monotonic(), 0.001))
            try:
                numbers = {*self._ears.recv(64)} - {_POKE}
                if self._is_over:
                    return
            except TimeoutError:
                if asked_at is not None:
                    self.end()
                self._code = self._code or TIMED_OUT
                self._interrupt()
                numbers = {signal.SIGTERM}
            now = time.monotonic()
            if asked_at is None and numbers:
                self._code = self._code or 128 + min(numbers)
                asked_at, self._due = now, now + _GRACE_S
            elif asked_at is not None and numbers - {_ALARM} and now - asked_at > _AGAIN_S:
                self.end()

    def _interrupt(self) -> None:
        """Have the main thread run the handler, also out of a system call where that can be."""
        if self._is_over:
            return
        if _ALARM is not None:
            signal.pthread_kill(threading.main_thread().ident or 0, _ALARM)
        else:
            _thread.interrupt_main(signal.SIGTERM)  # Ctrl-C may be ignored


def _handlers() -> dict[int, Any]:
    """The handlers that are set for the signals that stop a command, unless they are ignored."""
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    return {n: handler for n, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
