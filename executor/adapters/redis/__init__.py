"""Redis behind the ports: records and how they change, controls, locks, accounts, alerts."""
