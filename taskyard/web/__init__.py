"""What people see in a browser: the start page. Nothing else knows of it but the route that serves it."""
