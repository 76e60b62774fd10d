"""The page of KPIs for people, made from their definitions."""

from __future__ import annotations

from collections.abc import Iterator

from lifestage.kpi_formulas import Ratio
from lifestage.kpi_names import KPIS
from lifestage.kpis import DEFINITIONS

UNITS = {
    "ratio": "ratio, 0–1",
    "count": "count",
    "number": "number",
    "seconds": "seconds",
    "money": "major units",
    "nps": "−100 to 100",
    "ces": "1 to 7",
    "distribution": "count",
}
"""The units of values, in words."""

_HEAD = """# KPIs

Made from the definitions in `lifestage/kpis.py` by `lifestage kpis --page`: change them there.

**The window.** `t` is the instant of which a KPI speaks, `W` the window's length: events with time in (t − W, t] count, to the millisecond.
Whoever is *active* has a standing order in (t − 90 d, t], whatever W is; a *customer* has a standing order; *new* is whose first standing order is in the
window. An order stands at t unless it was cancelled or refunded in full by then; one that a plan says is too small counts for nothing.

**Live.** Workers with `kpis.live` keep what KPIs are made of with the state, and [recording rules](metrics.md#kpis) make the KPIs of it. Their window is
whole UTC days (`kpis.window`, 90 by default), the present day included: as of the end of that day, of which events to come are not known yet. What has to wait
for its time to pass, a cart, a trial, a lead, is open until that is over for certain. Otherwise a live KPI and `lifestage kpis` agree to the minor unit: with
`--at` the last millisecond of a day and `--window` in days. CLV 4 is told of files only, cohorts of the last 12 months, money in the four
currencies with the most orders, and medians and `p90` are read from counts by size, at most 25 % off, times 50 %, [within bounds](metrics.md#kpis). While not
every partition is counted by exactly one worker there is no value. Of a session, message, lead, cart or ticket that was silent for more than W + 30 d, from one UTC day to another, what
comes again under its name is live another one's.

**Values.** Ratios are 0–1, times seconds, money major units, computed in whole minor units and rounded half to even when it is divided. Where there is no
denominator there is no value; a count is 0 where there are some among whom none is found, and has no value where there is nobody. Currencies are never mixed: money is told by currency. A statistic is `mean`, `median` (of an even number the mean of the two in
the middle) or `p90` (the least that nine in ten do not exceed). Lifetime values are rounded to the minor unit for each customer first.

**Who counts.** Persons, not ids: who came by several ids counts once. Test events, and visits, clicks and other acts of bots and machines, do not count. What a
plan forgot of a silent visitor before they were known stays forgotten. An order counts once per source and order id, whoever sent it; a refund or a ticket
that names no customer counts once its order or ticket names one.

**Money.** An order belongs to the window in which it was placed; what is given back later lowers its net from the refund's instant on, in every window that
holds the order. A refund in W of an order from before W is not in W.

**Channels.** A person's channel is that of the first event that says one, be it an order's second: an ad's `channel`, else the medium, else the source; of whoever came
without, `direct`. All orders of a person are that channel's. Costs have their own, `none` where they say none. Labels hold at most 20 values that events name, the most frequent; the rest, and whatever looks like an address or a sentence, is `other`.
Live, a value that some worker does not tell apart is in `other`, too, and has neither cost nor rate: [no value is of a part](metrics.md#kpis).
What a channel cost that brought nobody has no value by channel; it is in the value of all.

**Messages.** A message's channel, campaign and mailbox are those of the first of its events. Its campaign is its `campaign_id` as a label, `none` without one; the
6 campaigns with the most are told apart, the rest is `other`. Of mails, messages on channel `email`, `mailbox` says who runs the recipient's mailbox, by the domain of its address:
`gmail`, `outlook` (Hotmail, Live, MSN), `yahoo` (AOL), `apple`, `gmx` (web.de), `proton`, all else `other`; `unknown` where no address was told. The address
itself is not kept, nor is its domain.

| KPI | what it is | unit | labels | stage | better | formula | after |
|---|---|---|---|---|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    return _HEAD + "\n".join(_rows()) + "\n\n" + _tail() + "\n"


def _rows() -> Iterator[str]:
    for one in DEFINITIONS:
        labels = ", ".join(f"`{label}`" for label in one.labels) or "–"
        labels += "".join(f"; with `--by {by}` `{by}`" for by, _ in one.by)
        unit = "ratio" if one.unit == "distribution" and isinstance(one.formula, Ratio) else one.unit
        cells = (f"`{one.name}`", one.title, UNITS[unit], labels, one.stage or "all", one.better or "–")
        yield f"| {' | '.join(cells)} | {one.words.replace('|', '∣')} | {one.source} |"


def _tail() -> str:
    missing = [f"`{name}`" for name in KPIS if name not in {one.name for one in DEFINITIONS}]
    return f"A plan may name these too, which are not computed yet: {', '.join(missing)}."
