"""How hard property tests look.

`EXAMPLES=20000 pytest tests/core` looks harder, with new examples each time; `QUICK=1`, which `make check` sets, tries a
sixth of the examples that `make test` tries.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_MORE, _QUICK = os.environ.get("EXAMPLES"), os.environ.get("QUICK")


def effort(examples: int) -> settings:
    """Hypothesis' settings for a property that needs so many examples; the same ones each time."""
    tried = int(_MORE) if _MORE else max(10, examples // 6) if _QUICK else examples
    return settings(
        max_examples=tried,
        derandomize=not _MORE,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
