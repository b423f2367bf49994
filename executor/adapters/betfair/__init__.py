"""Betfair behind the exchange port: session, calls, and what every answer means."""
