"""Who works, in the order an event meets them: intake, lifecycle."""
