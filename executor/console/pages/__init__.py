"""The pages for people, a file a group of pages; templates draw, these say what."""
