"""Who else learns of the device's state: the owner's other programs, a hook, the desktop."""
