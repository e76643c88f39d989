"""The store: what was acknowledged and decided, durably. All SQL lives here."""
