"""What both sides of Forewarn agree on: values and functions, no I/O and no clock.

Time, radio, disk and network are passed in, so the same core runs in the daemon, on the server and in simulations.
Import from the modules; each is named after the thing it defines.
"""
