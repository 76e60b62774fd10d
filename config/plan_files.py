"""Plans as files: one that a company wrote, or one that is shipped in `config/plans`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from config.errors import UserFacingError
from config.text_files import text_of
from config.wording import meant
from lifestage import language
from lifestage.language import Sheet

SHIPPED = Path(__file__).parent / "plans"


def shipped() -> dict[str, Path]:
    """The file of each shipped plan, by its name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.plan"))}


def sheet_of(plan: str, windows: Mapping[str, int] | None = None, options: Mapping[str, bool] | None = None) -> Sheet:
    """What the plan says that `plan` names: a file, or else a shipped plan. It is checked in full.

    `windows` (ms) and `options` take the place of those of the same name. Raises `UserFacingError` with one line: there
    is no such plan, window or option, or the place that is wrong.
    """
    if not plan.strip():
        raise UserFacingError(f"no plan is named; give a plan file, or one of: {', '.join(shipped())}")
    path = Path(plan)
    if not path.exists():
        if plan not in shipped():
            names = [*shipped(), "a file"] if "/" not in plan else ["a file that exists"]
            raise UserFacingError(f"no plan {plan!r}{meant(plan, names)}")
        path = shipped()[plan]
    try:
        return language.checked(text_of(path, "a plan file"), str(path), windows, options)
    except ValueError as error:
        raise UserFacingError(str(error)) from None
