"""What the second judge finds: the workers' output beside what the load itself says must have come of its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from lifestage.profile import decode
from tests.chaos.naive import Expected, Naive
from tests.pipeline import Written
from tests.wire import Record


def slips(naive: Naive, written: Written, letters: int) -> list[str]:
    """Where customers, their orders and money, the accounts or the number of dead letters are not as the load says."""
    customers = naive.customers()
    found = _accounts(naive, written) + _sums(customers, written)
    strangers = written.newest.keys() - customers.keys()
    found += [f"nobody sent anything of {key}" for key in sorted(strangers)]
    for key, due in customers.items():
        found += [
            f"{key}: {words}" for words in (*_document(due, written.newest.get(key)), *_orders(key, due, written))
        ]
    rejected = sum(count for (_, _, outcome), count in naive.accounts.items() if outcome == "rejected")
    if letters != rejected:
        found.append(f"{rejected} events had to be rejected, {letters} have a dead letter")
    return found


def letters_of(records: Iterable[Record]) -> int:
    """How many source records have a dead letter; one that was written twice, by a worker that was killed, counts once."""
    names = {f"lifestage-{name}" for name in ("topic", "partition", "offset")}
    return len({tuple(pair for pair in sorted(record.headers) if pair[0] in names) for record in records})


def _accounts(naive: Naive, written: Written) -> list[str]:
    """Events by source, type and outcome: each counted once, none left out."""
    told: Counter[tuple[str, str, str]] = Counter()
    for marker in written.markers.values():
        for source, types in marker.accounts.items():
            for kind, outcomes in types.items():
                for outcome, count in outcomes.items():
                    told[source, kind, outcome] += count
    return [
        f"{' '.join(key)}: {naive.accounts[key]} events sent, {told[key]} counted"
        for key in sorted(naive.accounts.keys() | told.keys())
        if naive.accounts[key] != told[key]
    ]


def _sums(customers: dict[str, Expected], written: Written) -> list[str]:
    """Orders and money of the whole company."""
    due: dict[str, list[int]] = {}
    for customer in customers.values():
        for order in customer.orders.values():
            sums = due.setdefault(order.currency, [0, 0, 0])
            for at, more in enumerate((1, order.total, order.net)):
                sums[at] += more
    told: dict[str, list[int]] = {}
    for marker in written.markers.values():
        for currency, sums in marker.sums.items():
            told[currency] = [a + b for a, b in zip(told.get(currency, [0, 0, 0]), sums, strict=True)]
    return [] if due == told else [f"orders, gross and net had to be {due}, and are {told}"]


def _document(due: Expected, newest: bytes | None) -> list[str]:
    """A customer's last change says the stage, the way to it, and the numbers."""
    if due.stage is None:
        return [] if newest is None else ["has no stage, and a change all the same"]
    if newest is None:
        return [f"had to end as {due.stage}, and has no change"]
    told: dict[str, Any] = msgspec.json.decode(newest)
    wanted = due.document()
    differing = [(name, value, told[name]) for name, value in wanted.items() if name != "metrics"]
    differing += [(name, value, told["metrics"][name]) for name, value in wanted["metrics"].items()]
    return [f"{name} had to be {value}, and is {said}" for name, value, said in differing if value != said]


def _orders(key: str, due: Expected, written: Written) -> list[str]:
    """The ledger of a profile holds each order once, as it was paid and given back."""
    kept = written.profiles.get(key.encode())
    if kept is None:
        return ["has no profile"]
    wanted = sorted((o.event, o.time, o.total, o.refunded, o.cancelled) for o in due.orders.values())
    told = sorted(
        (o.event, o.time or 0, o.total_minor, sum(r.amount_minor for r in o.refunds), o.cancelled_at is not None)
        for o in decode(kept).orders
    )
    return [] if wanted == told else [f"orders had to be {wanted}, and are {told}"]
