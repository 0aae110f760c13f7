"""Whole runs of the command against real servers and faulty ones, all of them on loopback."""
