"""Forgets what is due: keys, export files, codes, tokens, publishes; and overwrites what it deleted."""
