"""The pure core: what an event means, what a customer is, where they stand. No I/O, no clock, no async."""
