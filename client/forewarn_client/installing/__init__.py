"""The daemon as a service of the system: its units, its user, its right to speak with the system's Bluetooth."""
