"""What a test does to the exchange that no customer can."""
