"""The diary's way to a new device: one sealed file, after which this device holds nothing that could read it."""
