"""The recurrence and its reverse over packed steps."""
