"""`tests.broken_worker` on the core that users run, the compiled one: for words that take nothing out of it.

    python -m tests.mortal_worker ARM WORDS worker …

Points to die at are all outside the core, so it stays as it was compiled. Where it is not compiled the sources run.
"""

from __future__ import annotations

import os
import runpy

from commands import compiled

if __name__ == "__main__":
    print(compiled.use(os.environ), flush=True)  # first: what follows imports the core
    runpy.run_module("tests.broken_worker", run_name="__main__", alter_sys=True)
