"""Acts of staff, never of citizens: who issued or expired how many codes, who made an API key, and when.

A line names no code: what staff did stays for a year, the codes of citizens do not.
"""

from forewarn_server.audit.log import record

__all__ = ["record"]
