"""Execution engine for the Betfair Exchange: trading signals on Redis become orders, and orders become logged trades."""
