"""What a fold goes by, from the settings: the plan, the horizon, the key of the id hashes, and what ids may do."""

from __future__ import annotations

from hashlib import blake2b

from config.errors import SettingsError, UserFacingError
from config.plan_files import sheet_of
from config.settings import Settings
from lifestage.cause import Rules
from lifestage.plan import Compiled, Plan


def rules_of(settings: Settings) -> Rules:
    """The rules of a deployment. Raises `SettingsError` for a plan that does not exist, or that is wrong, with its place."""
    try:
        sheet = sheet_of(settings.lifecycle.plan)
    except UserFacingError as error:
        raise SettingsError(f"lifecycle.plan = {settings.lifecycle.plan!r}: {error}") from None
    return rules_with(settings, sheet.plan)


def targets_of(settings: Settings) -> dict[str, float]:
    """The targets of KPIs by the deployment's plan, which exists."""
    sheet = sheet_of(settings.lifecycle.plan)
    return {label.name: label.target for stage in sheet.stages for label in stage.kpis if label.target is not None}


def rules_with(settings: Settings, plan: Plan) -> Rules:
    """The rules of a deployment, with another plan."""
    return Rules(
        Compiled(plan),
        settings.lifecycle.announce_anonymous,
        int(settings.lifecycle.lateness_days * 86_400_000),
        blake2b(settings.identity.secret.encode(), digest_size=16, person=b"lifestage-ids").digest(),
        settings.identity.link,
        # of what the whole deployment may have, each partition of the log has its share, rounded up: 0 means no bound
        -(-settings.identity.new_anonymous_per_minute // settings.topics.partitions),
        settings.kpis.window if settings.kpis.live else 0,
    )
