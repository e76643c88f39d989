"""The heart: tasks, servers, lanes, policies, health. Pure code on the standard library; time and randomness are arguments."""
