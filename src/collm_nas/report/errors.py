"""How the commands end when something is wrong: one message for a person, no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException

from collm_nas.config.run import Fruitless, Stopped, UserError
from collm_nas.core.printable import printable
from collm_nas.llm.base import LLMUnavailable

FRUITLESS, WRONG_INPUT, STOPPED = 1, 2, 3  # exit codes


@contextmanager
def told_plainly(again: Callable[[Path | None], str] | None = None) -> Iterator[None]:
    """End the process with the message of what a user can mend; bugs keep their traceback.

    Args:
        again: writes the command that continues what is in a directory (None: it is not known).
    """
    try:
        yield
    except Stopped as stop:
        _exit(f"stopped: {stop.why}\n{again(stop.directory)}" if again else str(stop), STOPPED)
    except Fruitless as error:
        _exit(f"error: {error}", FRUITLESS)
    except UserError as error:
        continues = f"\n{again(error.directory)}" if again and error.directory else ""
        _exit(f"error: {error}{continues}", WRONG_INPUT)
    except (LLMUnavailable, OmegaConfBaseException) as error:
        _exit(f"error: {error}", WRONG_INPUT)
    except BrokenPipeError:  # whoever read our output, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(STOPPED)
    except OSError as error:
        told = "What was finished is safe on disk. Mend the cause (space, rights), then repeat the"
        continues = f"\n{again(None)}" if again else ""
        _exit(f"error: {error}\n{told} command.{continues}", STOPPED)


def _exit(message: str, code: int) -> None:
    print(printable(message), file=sys.stderr)
    sys.exit(code)
