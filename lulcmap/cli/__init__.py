"""The command line: it reads options, calls one library function and prints the result."""

import os
import signal
import sys
import threading
from typing import Any, NoReturn


def __getattr__(name: str) -> Any:
    """``main``, the group of all commands, imported when it is used."""
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lulcmap.cli.program import main

    return main


def run() -> NoReturn:
    """The program: after an error it exits without waiting for threads that wait for a server."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Before and after a command nothing needs to be cleaned up: no traceback for Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lulcmap.cli.terminal import LOST, echo, lost_output, open_streams
    from lulcmap.system import share_compiled_loops

    open_streams()
    share_compiled_loops()
    from lulcmap.cli.program import main

    code = 0
    try:
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    reason = lost_output()
    if reason is not None and code == 0:
        echo(f"Error: The output cannot be printed: {reason}. Print it to another place.", err=True)
        code = LOST
    sys.stderr.flush()
    if code and threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)
