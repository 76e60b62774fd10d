"""What must be true of a world that has come to rest, told as a list of what is not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise, product

from lifestage import log
from lifestage.change import Announced, encode_value
from lifestage.keys import ANONYMOUS, COMPANY, MERGES
from lifestage.moments import parse
from lifestage.profile import Profile
from tests.identity.decided import Decided
from tests.identity.offline import Family, Person, alone, is_held, once, view
from tests.identity.world import CODE, TOPIC, Ahead, World, fresh

PLACEMENTS = 256
"""In how many places at most facts are looked for that may be in several; a world with more is not judged by them."""


def wrong(world: World, end: int) -> list[str]:
    """Everything that is wrong with a world whose last tick was `end`."""
    profiles, heard = world.profiles(), world.heard()
    found = [*wrong_accounts(world), *wrong_changes(heard, profiles), *wrong_places(world), *wrong_replays(world)]
    if world.shape.orderly:
        return [*found, *wrong_people(world, Decided(world.facts, world.left_out), end)]
    family = Family(world.logs, world.left_out)
    return [*found, *least_wrong(wrong_people(world, family, end, placed) for placed in placements(family))]


def placements(family: Family) -> Iterator[dict[tuple[str, str], str]]:
    """Each way in which facts can be where they may be, up to `PLACEMENTS`; of most worlds there is one."""
    places = family.places()
    for chosen in islice(product(*places.values()), PLACEMENTS):
        yield dict(zip(places, chosen, strict=True))


def least_wrong(tried: Iterable[list[str]]) -> list[str]:
    """Nothing, where one is right; else what is wrong with the first."""
    first: list[str] = []
    for n, said in enumerate(tried):
        if not said or n == PLACEMENTS - 1:
            return []
        first = first or said
    return first


def wrong_people(
    world: World, family: Family, end: int, placed: Mapping[tuple[str, str], str] | None = None
) -> list[str]:
    """What is wrong with the profiles, where the facts are whose `family` says, and those that may be several people's, `placed`."""
    profiles = world.profiles()
    persons = {root: alone(root, facts, world.rules, end) for root, facts in family.persons(placed).items()}
    found = [
        *wrong_profiles(world, profiles, persons),
        *wrong_ids(profiles, family),
        *wrong_sums(world, profiles, persons),
    ]
    if not world.shape.ticks:
        found += wrong_paths(world.heard(), profiles, persons)
    return found


def is_alias(profile: Profile) -> bool:
    """Whether a record is that of an id which belongs to another."""
    return profile.kin is not None and profile.kin.alias is not None


def is_person(key: str, profile: Profile) -> bool:
    """Whether a record is somebody's profile."""
    return not is_alias(profile) and not is_held(key) and not key.startswith((COMPANY, MERGES))


def is_forgotten(world: World, root: str, person: Person) -> bool:
    """Whether somebody is a visitor without a name who need not be kept."""
    kept = person.profile.orders or person.profile.subscriptions or world.rules.announce_anonymous
    return root.startswith(ANONYMOUS) and not kept


def wrong_profiles(world: World, profiles: dict[str, Profile], persons: dict[str, Person]) -> Iterator[str]:
    """Each profile's facts and stage are those of all its facts folded by one who had them from the beginning."""
    for key, profile in profiles.items():
        if is_person(key, profile) and key not in persons and view(profile) != view(Profile()):
            yield f"{key} is a profile of its own, with {view(profile)}, and should have no facts"
    for root, person in persons.items():
        if is_held(root) or (root not in profiles and is_forgotten(world, root, person)):
            continue
        if root not in profiles or is_alias(profiles[root]):
            yield f"{root} should be a profile of its own, and is {profiles.get(root)}"
            continue
        is_now, should_be = view(profiles[root]), view(person.profile)
        for name, value in should_be.items():
            if is_now[name] != value:
                yield f"{root}: {name} is {is_now[name]}, should be {value}; {[fact.id for fact in person.facts]}"


def wrong_ids(profiles: dict[str, Profile], family: Family) -> Iterator[str]:
    """Each id's record says to whom it belongs, and each profile knows those that belong to it."""
    members = defaultdict(set)
    for key in list(family.ids):
        root = key
        for _ in range(100):
            kin = profiles[root].kin if root in profiles else None
            if kin is None or kin.alias is None:
                break
            root = kin.alias
        if root != family.root(key):
            yield f"{key} belongs to {root}, should belong to {family.root(key)}"
        if key != family.root(key) and not is_held(key):
            members[family.root(key)].add(key)
    for key, profile in profiles.items():
        if is_person(key, profile):
            kin = profile.kin
            known = set() if kin is None else {id for id, belongs in kin.members.items() if not belongs.past}
            if known != members[key]:
                yield f"{key} has the members {sorted(known)}, should have {sorted(members[key])}"


def wrong_sums(world: World, profiles: dict[str, Profile], persons: dict[str, Person]) -> Iterator[str]:
    """Money and numbers of customers, summed over partitions, are those of the persons."""
    sums: Counter[str] = Counter()
    population: Counter[str] = Counter()
    for fold in world.folds:
        for name, amount in zip(("orders", "gross", "net"), fold.marker.sums.get("EUR", [0, 0, 0]), strict=True):
            sums[name] += amount
        population.update(fold.marker.population)
    for name in ("orders", "gross", "net"):
        should_be = sum(getattr(person.money, name) for person in persons.values())
        if sums[name] != should_be:
            yield f"sum of {name} is {sums[name]}, should be {should_be}"
    standing = Counter(p.stage for key, p in profiles.items() if is_person(key, p) and p.stage is not None)
    if +population != standing:
        yield f"population is {dict(+population)}, should be {dict(standing)}"


def wrong_accounts(world: World) -> Iterator[str]:
    """Every event of a source is accounted for once."""
    accounts: Counter[str] = Counter()
    for fold in world.folds:
        for by_type in fold.marker.accounts.values():
            for by_outcome in by_type.values():
                accounts.update(by_outcome)
    if accounts.total() != len(world.facts):
        yield f"{accounts.total()} events are accounted for ({dict(accounts)}), should be {len(world.facts)}"
    for outcome in set(accounts) - {
        "accepted",
        "duplicate",
        "suppressed",
        *(["late"] if isinstance(world, Ahead) else []),
    }:
        yield f"{accounts[outcome]} events are {outcome}"


def wrong_changes(heard: Sequence[Announced], profiles: dict[str, Profile]) -> Iterator[str]:
    """Of each customer seq is without gaps, each change begins where the last ended, and no instant has two that stand."""
    by_key: dict[str, list[Announced]] = defaultdict(list)
    for change in heard:
        by_key[change.partitionkey].append(change)
    for key, changes in by_key.items():
        if [change.data.seq for change in changes] != list(range(1, len(changes) + 1)):
            yield f"{key}: seq is {[change.data.seq for change in changes]}"
        for one, two in pairwise(changes):
            if two.data.previous_stage != one.data.stage:
                yield f"{key}: {two.data.seq} goes on from {two.data.previous_stage}, should from {one.data.stage}"
        gone = {id for change in changes for id in change.data.supersedes}
        if not gone <= {change.id for change in changes}:
            yield f"{key}: changes are superseded that were never told"
        instants = Counter(at for at, _ in standing(changes))
        if max(instants.values(), default=0) > 1:
            yield f"{key}: two moves stand at {[time for time, count in instants.items() if count > 1]}"
        profile = profiles.get(key)
        if profile is None or profile.seq != len(changes):
            yield f"{key}: {len(changes)} changes were told, its record says {profile and profile.seq}"
        elif changes[-1].data.stage != (None if is_alias(profile) else profile.stage):
            yield f"{key}: {changes[-1].data.stage} was told last, it stands in {profile.stage}"
        if profile is not None and is_alias(profile) and changes[-1].data.merged_into is None:
            yield f"{key}: belongs to another, and its last change does not say so"
    for key, profile in profiles.items():
        if profile.seq and key not in by_key:
            yield f"{key}: nothing was told, its record says {profile.seq}"


def wrong_places(world: World) -> Iterator[str]:
    """What a change gives as its evidence stands at these places of its log, and came for that customer."""
    for number, told in enumerate(world.told):
        keys = {offset: key for offset, key, _ in world.logs[number]}
        for change in told:
            for place in change.data.evidence.positions:
                if keys.get(place) != change.partitionkey.encode():
                    yield f"{change.partitionkey}: {change.data.seq} rests on {place}, which is {keys.get(place)!r}"


def standing(changes: Iterable[Announced]) -> list[tuple[int, str | None]]:
    """The history that a consumer holds: superseded changes taken out, a correction's path put in their place."""
    held: dict[str, list[tuple[int, str | None]]] = {}
    for change in changes:
        data = change.data
        for gone in data.supersedes:
            held.pop(gone, None)
        derived = data.kind in {"correction", "merge", "split"}
        moves = [(parse(step.entered_at), step.stage) for step in data.path]
        held[change.id] = moves if derived else [(parse(data.entered_at), data.stage)]
    return sorted(chain.from_iterable(held.values()), key=lambda move: move[0])


def wrong_paths(heard: Sequence[Announced], profiles: dict[str, Profile], persons: dict[str, Person]) -> Iterator[str]:
    """Where nothing that was told is too old, what stands of it is the path of all the facts."""
    left = {change.partitionkey for change in heard if change.data.merged_into is not None}
    for root, person in persons.items():
        if root in profiles and is_person(root, profiles[root]) and root not in left:
            is_now = standing(change for change in heard if change.partitionkey == root)
            should_be = standing(person.changes)
            if is_now != should_be:
                yield f"{root}: its path is {is_now}, should be {should_be}"


def wrong_replays(world: World) -> Iterator[str]:
    """Each log alone, folded once without an end, gives the same changes, messages, profiles and counts, byte for byte."""
    posted: dict[tuple[int, bytes], list[bytes]] = defaultdict(list)
    for records in world.logs:
        for _, key, value in once(records):
            header = log.header(value)
            if header.topic == CODE and key is not None:
                posted[header.partition, key].append(value)
    again: dict[tuple[int, bytes], list[bytes]] = defaultdict(list)
    for number, records in enumerate(world.logs):
        fold = world.kind(world.rules, TOPIC, number, CODE)
        told = fold.fold(records)
        for message in fold.take_posted():
            again[number, message.key].append(message.value)
        fold.checkpoint()
        if [*map(encode_value, told)] != [*map(encode_value, fresh(world.told[number]))]:
            yield f"log {number} read again tells other changes"
        if fold.stored != world.folds[number].stored or fold.marker != world.folds[number].marker:
            yield f"log {number} read again gives another state"
    if again != posted:
        yield "the logs read again post other messages"
