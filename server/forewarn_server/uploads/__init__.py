"""Sealed uploads: an F0's keys in a file that the authority passes on unopened and the anonymous zone publishes."""
