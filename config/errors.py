"""The errors that a person meets: each message is one line that names the thing, its value and what to do."""


class UserFacingError(Exception):
    """Something could not be done. A command that ends with it shows this line alone, and exits with 1."""


class OptionError(UserFacingError):
    """An option or argument was refused. The message names it, its value and what was meant. Exit code 2."""


class SettingsError(UserFacingError, ValueError):
    """A setting was refused. The message names the place, the value and what was meant. Exit code 2."""
