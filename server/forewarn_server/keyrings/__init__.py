"""The authority's keys: generations of each use, changed with an overlap, revoked, destroyed when they are over.

A ring's *schedule* is public and says which generations there are and since when; each generation's secret is a file of
its own, or a systemd credential, or an environment variable. Nothing here prints or logs a secret.
"""
