"""Several nodes on one database, as processes of their own."""
