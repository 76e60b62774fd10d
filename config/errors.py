"""The one error that a person who configures meets."""


class SettingsError(ValueError):
    """A setting was refused. The message names the place, the value and what was meant."""
