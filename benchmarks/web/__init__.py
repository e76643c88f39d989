"""The dashboard against its budgets: real Chromium before a real node under load (`make bench-web`)."""
