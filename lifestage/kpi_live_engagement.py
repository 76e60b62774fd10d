"""What a person's answers, recommendations, calls for help, trials and carts add to live KPIs."""

from __future__ import annotations

from lifestage.kpi_contribute import CART_MS, HELP_MS, TRIAL_MS
from lifestage.kpi_days import Entries
from lifestage.kpi_intervals import (
    EVER,
    Intervals,
    active_days,
    common,
    customer_days,
    first_orders,
    hold,
    placed_days,
    standing_days,
    stretch,
    union,
    within,
    without,
)
from lifestage.kpi_kept import Cart, Rest, Trial
from lifestage.kpi_live import Now
from lifestage.moments import DAY_MS
from lifestage.profile import RENEWED, Profile


def _rest(profile: Profile) -> Rest | None:
    return profile.kpi.rest if profile.kpi is not None else None


# -- what they say of us -------------------------------------------------------------------------


def _latest(rest: Rest, metric: str, window: int) -> list[tuple[int, int, int]]:
    """The answers of a metric as (from this day, until that, score): each as long as it is the latest, and in the window."""
    told = rest.answers.get(metric, [])
    days = [answer[0] // DAY_MS for answer in told]
    ends = [min([day + window, *days[n + 1 : n + 2]]) for n, day in enumerate(days)]
    return [(day, end, answer[3]) for day, end, answer in zip(days, ends, told, strict=True)]


def answers(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """The latest answer in the window by metric."""
    found: Entries = []
    rest, window = _rest(profile), now.window
    if rest is not None:
        for metric in rest.answers:
            for day, end, score in _latest(rest, metric, window):
                stretch(found, (f"{metric}_answers",), day, end, window)
                if metric == "ces":
                    stretch(found, ("ces_thousandths",), day, end, window, score)
                elif metric == "csat":
                    stretch(found, ("satisfied",), day, end if score >= 4000 else day, window)
                elif score >= 9000:
                    stretch(found, ("promoters",), day, end, window)
                elif score <= 6000:
                    stretch(found, ("detractors",), day, end, window)
    return found


def advocates(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Whether they recommend us while they are active."""
    found: Entries = []
    rest, window = _rest(profile), now.window
    if rest is None or not profile.orders or not (rest.praise or rest.answers):
        return found
    praise = [(day, day + window) for day in rest.praise if day + window > now.day]
    praise += [(day, end) for day, end, score in _latest(rest, "nps", window) if score >= 9000 and end > now.day]
    if praise:
        hold(found, ("advocates",), common(union(praise), active_days(profile, now.rules.plan.terms, now.day)))
    return found


def referrals(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Whether they are a customer who won us another, or a new one whom somebody referred."""
    found: Entries = []
    rest, window, terms = _rest(profile), now.window, now.rules.plan.terms
    if rest is None or not profile.orders:
        return found
    won = union((day, day + window) for day in rest.won if day + window > now.day)
    if won:
        hold(found, ("customers_who_referred",), common(won, customer_days(profile, terms)))
    if rest.referred is not None:
        for begin, end, first in first_orders(profile, terms):
            new = within([(begin, end)], rest.referred, first // DAY_MS + window)
            hold(found, ("new_customers_referred",), new)
    return found


def help(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Whether a new customer asked for help in the days up to the first order."""
    found: Entries = []
    rest = _rest(profile)
    if rest is None or not profile.orders or not rest.asked:
        return found
    for begin, end, first in first_orders(profile, now.rules.plan.terms):
        if any(first - HELP_MS <= asked <= first for asked in rest.asked):
            stretch(found, ("first_orders_after_ticket",), begin, min(end, first // DAY_MS + now.window), now.window)
    return found


# -- what may come of it -------------------------------------------------------------------------


def trials(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Trials, those that were paid for, and those that still may be."""
    found: Entries = []
    rest = _rest(profile)
    if rest is not None:
        for trial in rest.trials.values():
            if trial.start is not None and trial.start[2] // DAY_MS + now.window > now.day:
                _trial(found, trial, trial.start, profile, now)
    return found


def _trial(found: Entries, trial: Trial, start: tuple[int, str, int, int | None], profile: Profile, now: Now) -> None:
    started, _, begins, planned = start
    day, window = begins // DAY_MS, now.window
    found.append((("trials",), day, 1))
    # an end that is still to come makes no difference: up to its day nothing is over
    ends = [at + TRIAL_MS for at in (planned, trial.ended) if at is not None]
    over = min(ends) if ends else EVER * DAY_MS
    paid = within(_bought(profile, trial, started, over, now), day, day + window)
    hold(found, ("trials_paid",), paid)
    hold(found, ("trials_open",), without([(day, min(day + window, over // DAY_MS + 1))], paid))


def _bought(profile: Profile, trial: Trial, started: int, until: int, now: Now) -> Intervals:
    """On which days there is a purchase from the start of a trial until an instant."""
    found: Intervals = []
    for order in profile.orders:
        if order.time is not None and started <= order.time <= until:
            found += standing_days(order, now.rules.plan.terms)
    for subscription in profile.subscriptions:
        found += [
            (act.time // DAY_MS, EVER) for act in subscription.acts
            if act.kind <= RENEWED and started <= act.time <= until
        ]  # fmt: skip
    if trial.converted is not None and started <= trial.converted <= until:
        found.append((trial.converted // DAY_MS, EVER))
    return union(found)


def carts(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Carts that were ordered or abandoned, and how far checkouts came."""
    found: Entries = []
    rest = _rest(profile)
    if rest is not None:
        for cart in rest.carts.values():
            if cart.first // DAY_MS + now.window > now.day:
                _cart(found, cart, profile, now)
            if cart.checkout is not None and cart.checkout + now.window > now.day:
                _checkout(found, cart, cart.checkout, now.window)
    return found


def _cart(found: Entries, cart: Cart, profile: Profile, now: Now) -> None:
    first, terms = cart.first // DAY_MS, now.rules.plan.terms
    for n, last in enumerate(cart.acts):
        until = cart.acts[n + 1] // DAY_MS if n + 1 < len(cart.acts) else EVER
        stage = within([(last // DAY_MS, until)], first, first + now.window)
        if not stage:
            continue
        over = last + CART_MS
        placed = [
            days for order in profile.orders if order.time is not None and cart.first <= order.time <= over
            for days in placed_days(order, terms)
        ]  # fmt: skip
        ordered = common(stage, union(placed))
        lost = without(within(stage, over // DAY_MS + 1, EVER), ordered)
        hold(found, ("carts",), union([*ordered, *lost]))
        hold(found, ("carts_abandoned",), lost)


def _checkout(found: Entries, cart: Cart, begun: int, window: int) -> None:
    reached = 0
    for day, furthest in cart.steps:
        for step in range(reached + 1, furthest + 1):
            stretch(found, ("carts_at_step", str(step)), day, begun + window, window)
            if step > 1:
                stretch(found, ("carts_past_step", str(step - 1)), day, begun + window, window)
        reached = furthest
