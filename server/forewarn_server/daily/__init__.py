"""The daily message of every device: one size, one answer, so far without content."""
