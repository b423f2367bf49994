"""Netting beside brute force: random markets, and every result that they allow."""
