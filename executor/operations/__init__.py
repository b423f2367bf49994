"""What people ask of the system and do to it, once for all doors: commands and console are thin over this."""
