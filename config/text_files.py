"""Files of text that a person wrote: plans, mappings."""

from __future__ import annotations

from pathlib import Path

from config.errors import UserFacingError

BYTES_MAX = 1_000_000
"""A plan of 50 stages is 10 kB; beyond this it is some other file."""


def text_of(path: Path, what: str) -> str:
    """The text of a file; `what` says in the error what to give. Raises `UserFacingError` with one line."""
    try:
        with path.open("rb") as file:
            found = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise UserFacingError(f"{path}: cannot be read ({error.strerror}); give {what}") from None
    if len(found) > BYTES_MAX:
        raise UserFacingError(f"{path}: longer than {BYTES_MAX} bytes; give {what}")
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise UserFacingError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 text") from None
