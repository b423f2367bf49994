"""Execution engine for the Betfair Exchange: signals on Redis become orders, orders become logged trades."""
