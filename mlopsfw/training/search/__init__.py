"""The search for the best model: its settings, its space, and the study that proposes trials. Nothing is trained here."""
