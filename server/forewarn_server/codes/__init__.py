"""One-time codes of the health authority: issued, turned into a token, turned into a certificate."""
