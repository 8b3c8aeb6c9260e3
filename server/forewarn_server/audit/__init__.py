"""Acts of staff, never of citizens: who issued, looked up or expired, and when."""
