"""Crash tests: a real node is killed under load, again and again, and a program of its own judges what is left."""
