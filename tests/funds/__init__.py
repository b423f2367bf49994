"""Our check of funds beside the sandbox's own arithmetic: random signals, matches, settlements, removals of bets."""
