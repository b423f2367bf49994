"""The outside world behind the ports: the exchange, Redis, the ledger, the clock."""
