"""What is told as it happens: topics of the whole yard and watched tasks, to any number of listeners.

A `channel` is a topic as some callers see it, encoded once however many listen. The `hub` looks once a second and tells
each `viewer` what changed since it was told last; who is slow is told the newest later, so nothing is ever queued.
"""
