"""Betfair's API over HTTP: JSON-RPC, identity, what each operation answers."""
