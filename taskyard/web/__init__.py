"""What people see in a browser: the dashboard's shell and files. Knows the session's name; nothing of tasks."""
