"""Events that say which ids are one person's, and which are not.

By the time a fact is made of one, `ids` and `into` are keys, as the door makes them of what was sent.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from msgspec import Meta

from lifestage import facts
from lifestage.invalid import InvalidError
from lifestage.keys import ANONYMOUS, class_of
from lifestage.wire import IDS_MAX, AnyId, Event, Owner

_COMMON: Final = {3: "customer_id", 2: "email", 1: "anonymous_id"}
"""The common field of an id, by its class."""
_WORDS: Final = {3: "a customer id", 2: "an address", 1: "an anonymous id"}
_NOBODY: Final[dict[str, Any]] = dict.fromkeys(_COMMON.values())

Some = Annotated[list[AnyId], Meta(min_length=1, max_length=IDS_MAX)]
Several = Annotated[list[AnyId], Meta(min_length=2, max_length=IDS_MAX)]


class Identity(Event, kw_only=True, gc=False):
    """What the events about ids have in common."""

    owner: ClassVar[Owner] = "ids"

    def given(self) -> list[tuple[str, Any]]:
        """Each id in `ids` and `into` with its place."""
        raise NotImplementedError

    def named(self, keys: list[str]) -> None:
        """Take the keys of what is `given`, in that order."""
        raise NotImplementedError


class IdentityLinked(Identity, kw_only=True, gc=False, tag="identity.linked"):
    """`identity.linked`."""

    ids: Several | None = None

    def given(self) -> list[tuple[str, Any]]:
        """As `_listed`."""
        return _listed(self.ids or [])

    def named(self, keys: list[str]) -> None:
        """As `ids`."""
        self.ids = [*keys]

    def fact(self, common: dict[str, Any]) -> facts.IdentityLinked:
        """With the ids of `ids` beside the common ones. Refused with two of one class, or with one in all."""
        for n, key in enumerate(self.ids or ()):
            own = str(key)
            field, name = _COMMON[class_of(own)], own.removeprefix(ANONYMOUS)
            if common[field] not in (None, name):
                what = _WORDS[class_of(own)].partition(" ")[2]
                raise InvalidError(
                    "bad_id", f"$.ids[{n}]", f"ids of different classes: two of one, such as this {what}, take identity.merged",
                    f"a second {what}",
                )  # fmt: skip
            common = common | {field: name}
        if sum(common[field] is not None for field in _COMMON.values()) < 2:
            wanted = "two of a customer id, an address and an anonymous id, in ids or in fields of their own"
            raise InvalidError("no_identity", "$", wanted, "fewer that name somebody")
        return facts.IdentityLinked(**common)


class IdentityMerged(Identity, kw_only=True, gc=False, tag="identity.merged"):
    """`identity.merged`."""

    ids: Some
    into: AnyId | None = None

    def given(self) -> list[tuple[str, Any]]:
        """As `_listed`, and `into`."""
        return [*_listed(self.ids), *([] if self.into is None else [("$.into", self.into)])]

    def named(self, keys: list[str]) -> None:
        """As `ids` and `into`."""
        if self.into is not None:
            *keys, self.into = keys
        self.ids = [*keys]

    def fact(self, common: dict[str, Any]) -> facts.IdentityMerged:
        """Each id once. Refused unless they are two at least, and where `into` is of a lower class than one of them."""
        ids, into = _each_once(self.ids), None if self.into is None else str(self.into)
        names = {*ids, *(() if into is None else (into,))}
        if len(names) < 2:
            raise InvalidError("out_of_range", "$.ids", "two different ids, or one beside another in into", "one")
        if into is not None and class_of(into) < max(map(class_of, ids)):
            highest = _WORDS[max(map(class_of, ids))]
            raise InvalidError(
                "bad_id", "$.into", f"one of the highest class among the ids, here {highest}",
                f"a lower one: {_WORDS[class_of(into)]}",
            )  # fmt: skip
        return facts.IdentityMerged(ids=ids, into=into, **_of_nobody(common, names))


class IdentitySplit(Identity, kw_only=True, gc=False, tag="identity.split"):
    """`identity.split`."""

    ids: Some

    def given(self) -> list[tuple[str, Any]]:
        """As `_listed`."""
        return _listed(self.ids)

    def named(self, keys: list[str]) -> None:
        """As `ids`."""
        self.ids = [*keys]

    def fact(self, common: dict[str, Any]) -> facts.IdentitySplit:
        """Each id once."""
        ids = _each_once(self.ids)
        return facts.IdentitySplit(ids=ids, **_of_nobody(common, {*ids}))


def _listed(ids: list[AnyId]) -> list[tuple[str, Any]]:
    """Each id in a list with its place."""
    return [(f"$.ids[{n}]", given) for n, given in enumerate(ids)]


def _each_once(ids: list[AnyId]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, ids)))


def _of_nobody(common: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The common fields without the ids of a person, which must be among those that are named."""
    for of_class, field in _COMMON.items():
        said = common[field]
        if said is not None and (ANONYMOUS + said if of_class == 1 else said) not in names:
            raise InvalidError(
                "bad_id", f"$.{field}", "one of $.ids, or none: they alone say who is meant", "another id"
            )
    return common | _NOBODY
