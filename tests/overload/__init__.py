"""Overload: more connections, tasks, bytes and outages than a node is made for, with real processes on loopback."""
