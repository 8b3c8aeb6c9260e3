"""Virtual phones and crowds that run the real client core against the real server."""
