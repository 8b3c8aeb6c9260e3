"""The signed configuration feed: what the authority tells devices about keys and the risk rule."""
