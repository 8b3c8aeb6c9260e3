"""Who of the authority may do what: API keys with a role."""
