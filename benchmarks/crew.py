"""Several workers as one contestant: `python -m benchmarks.crew N` runs N of them until it is told to stop.

Each is `lifestage worker` with the variables of this process, but for a port and a folder of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from streams.embedded.process import Child, ServiceError, free_ports

GRACE_S = 20
LOOK_S = 0.1


def main() -> int:
    """Run the workers. Returns 0 once it was asked to stop, 1 where one has ended before."""
    count, home = int(sys.argv[1]), Path(os.environ["LIFESTAGE_HOME"])
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    workers = [
        Child(
            [sys.executable, "-P", "-m", "commands", "worker"],
            home / f"{at}.log",
            {**os.environ, "LIFESTAGE_METRICS_PORT": str(port), "LIFESTAGE_HOME": str(home / str(at))},
        )
        for at, port in enumerate(free_ports(count))
    ]
    try:
        while not stopped:
            for worker in workers:
                if worker.returncode is not None:
                    raise ServiceError(f"a worker ended with status {worker.returncode}:\n{worker.printed()[-3000:]}")
            time.sleep(LOOK_S)
    except ServiceError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.stop(GRACE_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
