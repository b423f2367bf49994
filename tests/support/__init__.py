"""What tests stand on: rigs, doubles, factories."""
