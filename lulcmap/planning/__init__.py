"""A door is still to be made here."""
