"""The capture log: what a deployer needs to record predictions. Light, and public."""
