"""Hedging under accidents: prices that move away, partial fills, suspensions, halts, processes that die half-way."""
