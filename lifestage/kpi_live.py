"""Live KPIs: what each person adds to the sums of a partition, in groups, so that a fact looks at few of them.

Every group is a function of a person's profile: entries that say, for the present day and each day after it, what
`kpi_contribute` says of the person's facts. A step (`lifestage.kpi_step`) takes back what the groups said that it touches, and
adds what they say after it. So the sums of a partition are always those of its profiles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lifestage.cause import Rules
from lifestage.fact import Fact
from lifestage.kpi_days import Days, Entries
from lifestage.profile import Profile


class Now(NamedTuple):
    """When groups are asked, and for which window."""

    day: int
    """The present day of the partition: what was before it is never asked again."""
    window: int
    """Days."""
    rules: Rules


Group = Callable[[str, Profile, Now], Entries]
"""Of a key and its profile: what it adds. Right for the present day and all to come: levels of before may stand at any day up
to the present one, flows that have left the window may be left out."""
Hot = Callable[[str, Profile, Fact, Now, Days], bool]
"""A short way for an accepted fact of a key and its profile: it notes the fact and adds to the days what is different then. False
where it cannot, and has changed nothing."""
