"""The store on PostgreSQL 15 and newer. Only what opens it imports it, for the driver's sake."""
