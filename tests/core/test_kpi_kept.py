"""What KPIs keep of a person: how much it is, what of it is let go, and what two sets of facts have in common."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from lifestage import facts as f
from lifestage.cause import LONG_AGO, Rules
from lifestage.fact import Context, Fact
from lifestage.kpi_entries import SESSION_SIZE, find_entry, look_over
from lifestage.kpi_kept import SESSION, Kept
from lifestage.kpi_live import Now
from lifestage.kpi_live_persons import GROUPS
from lifestage.kpi_note import note
from lifestage.kpi_runs import SPARE_DAYS
from lifestage.kpi_unite import all_united, cut
from lifestage.moments import DAY_MS
from lifestage.profile import Profile
from lifestage.union import united
from tests.core.kpi_live_facts import START, accept, rules_of
from tests.core.kpi_live_sums import value_at

WINDOW = 90
RULES: Rules = rules_of(WINDOW, None, 7 * DAY_MS)
UUID = "0198f3a2-7c4e-7d10-9b5e-{:012}"


def noted(*told: Fact, day: int = START) -> Profile:
    """A profile with these facts, accepted on a day."""
    profile = Profile()
    for fact in told:
        assert accept(profile, fact, RULES)
        note(profile, fact, Now(day, WINDOW, RULES))
    return profile


def test_an_entry_is_found_where_one_begins_alone() -> None:
    """What stands across fields or entries is no number, though it be the same bytes."""
    name = (7).to_bytes(8, "big")
    across = SESSION.pack(1, 7, 0, 7, 0) + SESSION.pack(7 << 32, 7, 0, 0, 0)
    assert name in across
    assert find_entry(across, name, SESSION_SIZE) == -1
    assert find_entry(b"", name, SESSION_SIZE) == -1
    found = across + SESSION.pack(7, 0, 0, 0, 0)
    assert find_entry(found, name, SESSION_SIZE) == len(across)
    assert find_entry(found[len(across) :], name, SESSION_SIZE) == 0


def kept_of(profile: Profile) -> Kept:
    """What is kept of a person of whom something is."""
    assert profile.kpi is not None
    return profile.kpi


def common(day: int, n: int) -> dict[str, Any]:
    """What a fact of a day has."""
    return {"time": (START + day) * DAY_MS + n, "source": "web", "id": UUID.format(n), "customer_id": "ann"}


def visit(day: int, n: int, session: int, pages: int = 1) -> Fact:
    """A visit of a session."""
    return f.WebVisit(
        url="/", session_id=UUID.format(session), pages=pages, context=Context(source="google", medium="cpc"),
        **common(day, n),
    )  # fmt: skip


def mail(day: int, n: int, message: int, event: str) -> Fact:
    """What happened to a message."""
    return f.EmailEvent(message_id=UUID.format(message), event=event, **common(day, n))


def size(profile: Profile) -> int:
    """Bytes of what is kept."""
    return len(msgspec.msgpack.encode(profile.kpi))


def test_a_session_and_a_message_take_some_forty_bytes() -> None:
    """Once nothing can come any more that was before; until then their first event's id and 14 bytes a visit stand with them."""
    visits = [visit(session, 10 * session + n, session) for session in range(20) for n in range(5)]
    mails = [
        mail(day, 1000 + 10 * day + n, day, what)
        for day in range(20) for n, what in enumerate(("sent", "delivered", "opened"))
    ]  # fmt: skip
    empty = size(noted(visit(0, 0, 0))) - 90
    by_visits, by_mails = noted(*visits, day=START + 20), noted(*mails, day=START + 20)
    assert size(by_visits) <= 20 * 135 + empty
    assert size(by_mails) <= 20 * 85 + empty
    for profile in (by_visits, by_mails):
        cut(kept_of(profile), START + 40)
    assert size(by_visits) <= 20 * 42 + empty
    assert size(by_mails) <= 20 * 44 + empty


def test_a_campaign_is_named_once_and_a_mailbox_takes_nothing() -> None:
    """Of a message four bytes say in which campaign it was sent, of who got none nothing does; names that no message has go with them."""
    plain = [mail(day, day, day, "sent") for day in range(20)]
    told = [replace(one, campaign_id=f"campaign {n % 3}", mailbox="gmail") for n, one in enumerate(plain)]
    mailed = [replace(one, mailbox="gmail") for one in plain]
    without, with_them, by_mailbox = (noted(*facts, day=START + 20) for facts in (plain, told, mailed))
    assert size(by_mailbox) == size(without)
    assert (kept_of(without).campaigns, kept_of(without).sent_in) == ("", b"")
    assert size(with_them) <= size(without) + 20 * 4 + 3 * len("campaign 0 ") + 4
    messages = [*kept_of(with_them).messages.values()]
    assert [one.campaign for one in messages] == [f"campaign {n % 3}" for n in range(20)]
    assert {one.mailbox for one in messages} == {"gmail"}
    cut(kept_of(with_them), START + 2 * WINDOW + SPARE_DAYS + 19)
    assert kept_of(with_them).campaigns == "\ncampaign 1\n"
    cut(kept_of(with_them), START + 2 * WINDOW + SPARE_DAYS + 20)
    assert (kept_of(with_them).campaigns, kept_of(with_them).sent_in) == ("", b"")


@pytest.mark.parametrize(("before", "goes"), [(0, False), (2 * WINDOW + SPARE_DAYS, True)])
def test_what_was_noted_before_there_was_a_clock_is_gone_through_only_where_it_is_old(before: int, goes: bool) -> None:
    """A backlog is folded before its first tick: of all that it has of late nothing can be let go, and of a visitor of long ago all."""
    profile = noted(
        visit(-before, 1, 1), mail(-before, 2, 2, "sent"), mail(-before, 3, 2, "clicked"), day=LONG_AGO // DAY_MS
    )
    rest = msgspec.msgpack.encode(kept_of(profile).rest)
    first = Kept(**{name: getattr(kept_of(profile), name) for name in Kept.__struct_fields__})
    assert first.looked < 0
    kept = kept_of(profile)
    look_over(kept, START + 10, WINDOW)
    assert kept.looked == START + 10
    assert msgspec.msgpack.encode(kept.rest) == (msgspec.msgpack.encode(None) if goes else rest)
    assert (kept.begun, kept.posted) == ((b"", b"") if goes else (first.begun, first.posted))
    assert (kept.begun_texts, kept.posted_texts) == ((b"", b"") if goes else (first.begun_texts, first.posted_texts))


@pytest.mark.parametrize(("before", "goes"), [(0, False), (2 * WINDOW + SPARE_DAYS, True)])
def test_an_amount_noted_before_there_was_a_clock_goes_only_where_it_is_old(before: int, goes: bool) -> None:
    """Of a click alone nothing else says how old it is; while it is of late it keeps its event."""
    kept = kept_of(noted(f.AdClick(campaign_id="spring", **common(-before, 1)), day=LONG_AGO // DAY_MS))
    first = msgspec.msgpack.encode(kept.rest)
    look_over(kept, START + 10, WINDOW)
    assert kept.looked == START + 10
    assert msgspec.msgpack.encode(kept.rest) == (msgspec.msgpack.encode(None) if goes else first)


def test_what_was_kept_before_there_were_campaigns_is_read() -> None:
    """Fields are appended: a mail of then is one of no campaign, to a mailbox that is not known."""
    kept = kept_of(noted(*(mail(day, day, day, "sent") for day in range(3)), day=START + 3))
    older = msgspec.convert(msgspec.to_builtins(kept)[:11], Kept)
    assert [(one.channel, one.mailbox, one.campaign) for one in older.messages.values()] == [
        ("email", "unknown", "none")
    ] * 3


def test_what_no_window_asks_for_is_let_go() -> None:
    """Of who comes back after long nothing stands but that visit, and by which channel the person came first."""
    told: list[Fact] = [
        visit(0, 1, 1),
        mail(0, 2, 1, "clicked"),
        f.LeadCaptured(lead_id="l", form="f", **common(0, 3)),
        f.CommunityActivity(**common(0, 4)),
        f.CartUpdated(cart_id="k", **common(0, 5)),
        f.TicketReplied(ticket_id="i", by="agent", **common(0, 6)),
        f.FeedbackReceived(survey_id="q", metric="nps", score=9.0, scale_min=0, scale_max=10, **common(0, 7)),
        f.ReferralConverted(referral_id="r", referrer_id="ann", **common(0, 8)),
        f.SocialEngagement(campaign_id="c", **common(0, 9)),
    ]
    profile = noted(*told)
    assert kept_of(profile).rest is not None
    back = 2 * WINDOW + SPARE_DAYS + 9
    late = visit(back, 20, 2)
    assert accept(profile, late, RULES)
    note(profile, late, Now(START + back, WINDOW, RULES))
    kept = kept_of(profile)
    alone = kept_of(noted(late, day=START + back))
    assert kept.touch is not None
    assert kept.touch[0] == told[0].time
    alone.touch = kept.touch
    assert msgspec.msgpack.encode(kept) == msgspec.msgpack.encode(alone)


def test_what_may_be_said_again_stays() -> None:
    """A checkout and a ticket, as short as they can be: said again by another set years later, it is known that they are no new ones."""
    told = [f.CheckoutStep(cart_id="k", step=str(step), **common(step, step)) for step in range(1, 5)]
    profile = noted(*told, f.TicketCreated(ticket_id="i", **common(0, 6)))
    cut(kept_of(profile), START + 1000)
    rest = kept_of(profile).rest
    assert rest is not None
    assert [(cart.checkout, len(cart.acts), cart.steps) for cart in rest.carts.values()] == [(START + 1, 1, [])]
    assert [ticket.created for ticket in rest.tickets.values()] == [(START * DAY_MS + 6, UUID.format(6))]


def test_nothing_is_let_go_a_day_too_early() -> None:
    """As long as a thing can be asked for it is there: its name is the same one's."""
    profile = noted(visit(0, 1, 1, pages=3))
    cut(kept_of(profile), START + WINDOW + SPARE_DAYS)
    again = visit(WINDOW + SPARE_DAYS, 2, 1)
    assert accept(profile, again, RULES)
    now = Now(START + WINDOW + SPARE_DAYS, WINDOW, RULES)
    note(profile, again, now)
    sums = value_at([entry for group in GROUPS for entry in group("ann", profile, now)], now.day, WINDOW)
    assert sums["visitors",] == 1
    assert sums["sessions",] == 0


@pytest.mark.parametrize("days", [0, 6])
def test_an_event_under_two_ids_counts_once(days: int) -> None:
    """Pages and acts of one event that both sets have, as long as it could come again; those of others add up."""
    both, own, other = visit(0, 1, 1, pages=5), visit(0, 2, 1, pages=2), visit(0, 3, 1, pages=4)
    clicked, acted = mail(0, 4, 1, "clicked"), f.AdClick(campaign_id="c", count=7, **common(0, 5))
    old, long_ago = visit(-20, 6, 2), f.CommunityActivity(**common(-20, 7))
    sides = noted(both, own, clicked, acted, old, long_ago), noted(acted, other, both, clicked)
    for side in sides:
        cut(kept_of(side), START - 7 + days)
    joint = united(sides, RULES.plan.keep, 0)
    now = Now(START, WINDOW, RULES)
    sums = value_at([entry for group in GROUPS for entry in group("ann", joint, now)], START, WINDOW)
    assert (sums["sessions",], sums["pages",], sums["ad_clicks",]) == (2, 12, 7)
    rest = kept_of(joint).rest
    assert rest is not None
    assert len(rest.counts["acts"]) == 3 * 3


def test_a_union_shares_nothing_with_its_sides() -> None:
    """What comes later to the one is not in the other."""
    profile = noted(visit(0, 1, 1), mail(0, 2, 1, "clicked"), f.TicketCreated(ticket_id="i", **common(0, 6)))
    before = msgspec.msgpack.encode(profile.kpi)
    whole = Profile(kpi=all_united([kept_of(profile)]))
    for fact in (
        visit(1, 11, 1),
        mail(1, 12, 1, "clicked"),
        f.TicketReplied(ticket_id="i", by="agent", **common(1, 16)),
    ):
        assert accept(whole, fact, RULES)
        note(whole, fact, Now(START + 1, WINDOW, RULES))
    assert msgspec.msgpack.encode(profile.kpi) == before
    assert msgspec.msgpack.encode(whole.kpi) != before


def test_the_first_of_a_millisecond_is_known_while_others_can_come() -> None:
    """Looking for what may go does not make a visit the first that is not."""
    later = f.WebVisit(url="/", session_id="s", context=Context(source="b", medium="b"), **{**common(0, 5), "id": "e2"})
    first = f.WebVisit(url="/", session_id="s", context=Context(source="a", medium="a"), **{**common(0, 5), "id": "e1"})
    profile = noted(later)
    cut(kept_of(profile), START)
    assert accept(profile, first, RULES)
    note(profile, first, Now(START, WINDOW, RULES))
    assert [session.origin for session in kept_of(profile).sessions.values()] == ["a\ta"]


def test_acts_of_a_cart_are_let_go_after_its_window_only() -> None:
    """On the last day of the window the cart was touched a day before, and is not abandoned yet."""
    acts = [f.CartUpdated(cart_id="k", **common(day, day)) for day in (0, WINDOW - 1, WINDOW + 5, WINDOW + 9)]
    profile, now = noted(*acts), Now(START, WINDOW, RULES)
    cut(kept_of(profile), START)
    rest = kept_of(profile).rest
    assert rest is not None
    assert [len(cart.acts) for cart in rest.carts.values()] == [3]
    entries = [entry for group in GROUPS for entry in group("ann", profile, now)]
    assert [value_at(entries, START + day, WINDOW)["carts_abandoned",] for day in (1, 2, WINDOW - 2, WINDOW - 1)] == [
        0,
        1,
        1,
        0,
    ]
