"""What needs nothing else: errors, names, time, references, durable writes, JSON."""
