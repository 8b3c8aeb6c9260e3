"""Who of the authority may do what: API keys with a role, kept as hashes in the registry."""
