"""What needs nothing else: errors, names, time, references, durable writes, outgoing HTTP."""
