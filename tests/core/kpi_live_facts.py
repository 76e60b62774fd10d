"""Facts of one person of every kind that KPIs read, by chance; and what the offline functions say of them as of a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, NamedTuple

from msgspec.structs import replace

from lifestage import facts as f
from lifestage.cause import Rules
from lifestage.fact import Context, Fact
from lifestage.fold import fold
from lifestage.kpi_contribute import Orders, Sums, contribute, customers, money, money_by_channel
from lifestage.kpi_days import day_of, whole_days
from lifestage.kpi_gather import DIRECT, Gather
from lifestage.kpi_runs import Renaming
from lifestage.ledger import KNOWN, find_order, known_act, known_order, number
from lifestage.moments import DAY_MS
from lifestage.plan import Compiled
from lifestage.profile import Profile
from lifestage.replay import in_order
from lifestage.seen import has_seen, id_hash, remember
from tests.core.histories import CLM5, RULES
from tests.core.kpi_live_sums import add_spreads, without_zero

HOUR = 3_600_000
START = 19_800
"""A day in 2024."""
DAYS = (0, 0, 0, 1, 1, 2, 5, 6, 7, 8, 13, 14, 15, 29, 30, 31, 60, 88, 89, 90, 91, 120, 180, 181)
WITHIN = (0, 0, 1, 5 * HOUR, 23 * HOUR, DAY_MS - 1)
AGES = 100_000 * DAY_MS
"""A lateness so long that nothing is ever let go."""
WINDOWS = (1, 7, 30, 90, 365)
PLANS = {
    least: Compiled(replace(CLM5, min_order_net=least)) for least in (None, (600, "EUR"))
}  # fmt: skip


def rules_of(window: int, least: tuple[int, str] | None = None, lateness: int = AGES) -> Rules:
    """Rules of a plan by which KPIs are counted."""
    return RULES._replace(plan=PLANS[least], window=window, lateness=lateness)


_CONTEXTS = (
    None, None, None, Context(source="google", medium="cpc"), Context(source="News", medium="-"), Context(campaign="c"),
    Context(source="x\t\n" * 50, medium="ann@example.com"), Context(referrer="https://else.example/"), Context(),
    Context(source="\u00e4\0", medium="(none)"),
)  # fmt: skip
_CAMPAIGNS = (
    None,
    None,
    "spring",
    "Spring ",
    "summer",
    "none",
    "other",
    "",
    "ann@example.com",
    "a\nb",
    "\0",
    "x" * 60,
    "b/c",
)
_MAILBOXES = (None, "gmail", "gmail", "gmx", "other", "unknown", "ann@example.com", "\n")
_EVENTS = (
    "queued",
    "sent",
    "sent",
    "delivered",
    "delivered",
    "bounced",
    "opened",
    "clicked",
    "complained",
    "unsubscribed",
)
_ORDERS = (f.OrderCompleted, f.OrderUpdated, f.OrderRefunded, f.OrderCancelled)


class Focus(NamedTuple):
    """Of what facts of one history are: some kinds, at some days, so that they meet."""

    kinds: frozenset[int]
    days: tuple[int, ...]

    @classmethod
    def any(cls, draw: Random) -> Focus:
        """Half of the histories are of everything."""
        kinds = range(24) if draw.random() < 0.4 else [*draw.sample(range(24), 3), draw.choice((0, 19, 19))]
        days = DAYS if draw.random() < 0.5 else tuple(draw.sample(DAYS, 4))
        return cls(frozenset(kinds), days)

    def time(self, draw: Random) -> int:
        """An instant at which those of other facts, and the edges of windows, are met."""
        return (START + draw.choice(self.days)) * DAY_MS + draw.choice(WITHIN)


def any_fact(draw: Random, n: int, focus: Focus) -> Fact:
    """A fact by chance. Ids are in no order; two sources give the same ids, and name things again and again."""
    time = focus.time(draw)
    a, b, coin = draw.randrange(3), draw.randrange(8), draw.random() < 0.5
    common: dict[str, Any] = {
        "time": time, "source": ("shop", "web")[n % 2], "id": f"e{n // 2 * 7919 % 1000:03}",
        "customer_id": "c", "bot": draw.random() < 0.08,
    }  # fmt: skip
    said: dict[str, Any] = {"context": draw.choice(_CONTEXTS)}
    money_of: dict[str, Any] = {"currency": ("EUR", "USD")[b == 7], "total_minor": 100 * b, "net_minor": 80 * b}
    then = draw.choice((None, time + draw.choice(focus.days) * DAY_MS, time - DAY_MS))
    end: dict[str, Any] = {"starts_at": then} if coin else {"ends_at": then}
    makers: tuple[tuple[int, Callable[[], Fact]], ...] = (
        (8, lambda: f.WebVisit(url="https://shop.example/", session_id=(None, "", "x", "y", "z", "x", "y", "w")[b], pages=a + 1, referrer=draw.choice((None, "-", "https://shop.example/", "//a.example/")), **common, **said)),
        (8, lambda: f.EmailEvent(message_id=f"m{a}", event=draw.choice(_EVENTS), channel=draw.choice(("email", "email", "sms", "fax")), machine=b == 1, campaign_id=draw.choice(_CAMPAIGNS), mailbox=draw.choice(_MAILBOXES), **common, **said)),
        (1, lambda: f.AdClick(campaign_id="c", channel=draw.choice((None, "-", "Search", "\ud7ff" * 60)), count=a + 1, **common, **said)),
        (1, lambda: f.AdImpression(campaign_id="c", count=10 + a, **common)),
        (1, lambda: f.SocialEngagement(campaign_id="c", kind=draw.choice((None, "Like", "share", "a/b", "\0")), count=a + 1, **common)),
        (1, lambda: f.CommunityActivity(**common)),
        (3, lambda: f.LeadCaptured(lead_id=f"l{a}", form="f", qualified=draw.choice((None, True, False)), **common, **said)),
        (2, lambda: f.TrialStarted(trial_id=f"t{a}", **end, **common)),
        (2, lambda: f.TrialEnded(trial_id=f"t{a}", converted=draw.choice((None, True, False)), **common)),
        (2, lambda: f.CartUpdated(cart_id=f"k{a}", step="3", **common)),
        (2, lambda: f.CheckoutStep(cart_id=f"k{a}", step=draw.choice((None, "0", "1", "02", "4", "pay", "9" * 50)), **common)),
        (2, lambda: f.TicketCreated(ticket_id=f"i{a}", by=draw.choice((None, "customer", "agent")), **common)),
        (3, lambda: f.TicketReplied(ticket_id=f"i{a}", by=draw.choice(("agent", "agent", "customer")), **common)),
        (2, lambda: f.TicketSolved(ticket_id=f"i{a}", by=draw.choice(("agent", "bot")), **common)),
        (3, lambda: f.FeedbackReceived(survey_id="q", metric="nps", score=draw.choice((0.0, 6.0, 7.0, 9.0, 10.0)), scale_min=0, scale_max=10, **common)),
        (2, lambda: f.FeedbackReceived(survey_id="q", metric=("csat", "ces")[a % 2], score=draw.choice((1.0, 3.0, 4.0, 5.0)), scale_min=1, scale_max=(5, 7)[a % 2], **common)),
        (1, lambda: f.ReviewPosted(rating=draw.choice((None, 3.0, 4.0)), **common)),
        (1, lambda: (f.ReferralSent, f.ReferralConverted)[coin](referral_id="r", referrer_id="c", **common)),
        (1, lambda: f.Referred(referral_id="r", referrer_id="d", **common)),
        (4, lambda: f.OrderCompleted(order_id=f"o{b}", cost_of_goods_minor=draw.choice((None, 30)), **money_of, **common)),
        (1, lambda: f.OrderUpdated(order_id=f"o{b}", **money_of, **common, **said)),
        (1, lambda: f.OrderRefunded(order_id=f"o{b}", refund_id=f"r{a}", amount_minor=draw.choice((50, 800)), currency="EUR", **common)),
        (1, lambda: f.OrderCancelled(order_id=f"o{b}", **common)),
        (1, lambda: (f.SubscriptionStarted, f.SubscriptionRenewed, f.SubscriptionCancelled)[a](subscription_id="u", **common)),
    )  # fmt: skip
    some = [makers[kind] for kind in focus.kinds]
    return draw.choices([make for _, make in some], [weight for weight, _ in some])[0]()


def any_facts(draw: Random, most: int) -> list[Fact]:
    """Facts in some order of arrival, with distinct ids."""
    focus = Focus.any(draw)
    return [any_fact(draw, n, focus) for n in range(draw.randrange(1, most))]


def accept(profile: Profile, fact: Fact, rules: Rules) -> bool:
    """Enter a fact in the ledger and remember it, unless it is known."""
    hashed, key = id_hash(fact.source, fact.id, rules.id_key), rules.id_key
    if has_seen(profile, hashed, 0):
        return False
    if isinstance(fact, _ORDERS):
        if known_order(find_order(profile, number(fact.source, fact.order_id, key)), fact, key) == KNOWN:
            return False
    elif isinstance(fact, f.SubscriptionAct) and known_act(profile, fact, key) == KNOWN:
        return False
    fold(profile, fact, -1, key, rules.plan.keep, 0)
    remember(profile, hashed, fact.time, 0)
    return True


def offline(told: Iterable[Fact], day: int, rules: Rules) -> Sums:
    """What the offline functions say as of the end of a day, but for what is of orders alone."""
    span, profile = whole_days(day, rules.window), Profile()
    found, terms = Gather(span), rules.plan.terms
    renaming = Renaming(rules.window)
    for fact in map(renaming.told, in_order(told)):
        if fact.time <= span.end and accept(profile, fact, rules):
            found.take(fact)
    sums: Sums = Counter()
    add_spreads(contribute(found, profile, terms, sums), sums)
    if profile.orders:
        of_orders: Sums = Counter()
        orders, before = Orders(profile, span.end, terms), Orders(profile, span.begin, terms)
        money(orders, span, of_orders)
        money_by_channel(orders, span, found.channel or DIRECT, of_orders)
        customers(orders, before, span, found.channel or DIRECT, terms, of_orders)
        sums.subtract(of_orders)
    return without_zero(sums)


def days_of(told: Sequence[Fact], rules: Rules, since: int) -> list[int]:
    """Days on which anything may be different, and those next to them, from one on."""
    turns = {day_of(fact.time) + more for fact in told for more in (0, 1, 7, 8, 14, 15, 90, 91, rules.window)}
    return sorted(day for day in {turn + more for turn in turns for more in (-1, 0)} | {since} if day >= since)


_NAMES = ("session_id", "message_id", "lead_id", "trial_id", "cart_id", "ticket_id")


def renamed(fact: Fact, every: int) -> Fact:
    """The fact, with what it names called otherwise every so many days."""
    for name in _NAMES:
        known = getattr(fact, name, None)
        if known:
            return replace(fact, **{name: f"{known}-{day_of(fact.time) // every}"})
    return fact
