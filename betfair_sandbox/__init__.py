"""A test exchange that speaks Betfair's wire over HTTPS; production code never imports it."""
