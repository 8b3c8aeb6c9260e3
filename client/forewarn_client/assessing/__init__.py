"""What files and matches mean for this device, found out where its memory is given back: in a process that ends.

It only reads the diary. What it finds goes back to the daemon, which alone writes.
"""
