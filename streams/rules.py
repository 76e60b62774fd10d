"""What a fold goes by, from the settings: the plan, the horizon, and the key of the id hashes."""

from __future__ import annotations

from hashlib import blake2b

from config.errors import SettingsError
from config.settings import Settings
from config.wording import meant
from lifestage.cause import Rules
from lifestage.plan import Compiled
from lifestage.plans import PLANS


def rules_of(settings: Settings, plan: str | None = None) -> Rules:
    """The rules of a deployment, with another plan if one is named. Raises `SettingsError` for one that does not exist."""
    name = plan or settings.lifecycle.plan
    if name not in PLANS:
        raise SettingsError(f"no plan {name!r}{meant(name, PLANS)}")
    return Rules(
        Compiled(PLANS[name]),
        settings.lifecycle.announce_anonymous,
        int(settings.lifecycle.lateness_days * 86_400_000),
        blake2b(settings.identity.secret.encode(), digest_size=16, person=b"lifestage-ids").digest(),
    )
