"""The condition without a screen: an LED and a buzzer of the kernel's LED class, read by rhythm and not by colour."""
