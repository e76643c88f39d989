"""The heart: tasks, servers, lanes, policies, health. Pure: standard library, time and chance as arguments."""
