"""The way out when going on would lose or double something: say why, and leave at once without a commit."""

from __future__ import annotations

import logging
import os
from typing import NoReturn

EXIT_STOPPED = 1
"""Exit code of a fail-stop: a supervisor starts the worker again, which recovers from its changelog."""

logger = logging.getLogger("lifestage")


def fail_stop(reason: str, error: BaseException | None = None) -> NoReturn:
    """Leave the process now. Nothing is flushed or committed: what is durable is consistent, the rest is read again."""
    detail = f": {type(error).__name__}: {error}" if error is not None else ""
    if error is not None:
        logger.error("stopped: %s%s", reason, detail, exc_info=error)
    # Straight to the descriptor: Faust redirects sys.stderr, and buffers are not flushed on this way out.
    os.write(2, f"lifestage: stopped: {reason}{detail}\n".encode())
    os._exit(EXIT_STOPPED)
