"""Plans as files: one that a company wrote, or one that is shipped in `config/plans`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from config.errors import UserFacingError
from config.wording import meant
from lifestage import language
from lifestage.language import Sheet

SHIPPED = Path(__file__).parent / "plans"
PLAN_BYTES_MAX = 1_000_000
"""A plan of 50 stages is 10 kB; beyond this it is some other file."""


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
        return language.checked(_text(path), str(path), windows, options)
    except ValueError as error:
        raise UserFacingError(str(error)) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = file.read(PLAN_BYTES_MAX + 1)
    except OSError as error:
        raise UserFacingError(f"{path}: cannot be read ({error.strerror}); give a plan file") from None
    if len(found) > PLAN_BYTES_MAX:
        raise UserFacingError(f"{path}: longer than {PLAN_BYTES_MAX} bytes; give a plan file")
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise UserFacingError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 text") from None
