"""The exchange itself: accounts, markets, books, bets, settlement. Pure."""
