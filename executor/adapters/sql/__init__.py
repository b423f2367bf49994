"""The accounts in SQL."""
