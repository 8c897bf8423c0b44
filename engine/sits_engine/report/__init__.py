"""Self-contained HTML reports and their numbers as JSON."""
