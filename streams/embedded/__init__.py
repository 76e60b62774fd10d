"""Brokers and stores for a machine that has none: real servers, started by us, on 127.0.0.1, gone with us."""
