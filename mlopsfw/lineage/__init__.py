"""What came from what: dataset versions, runs, model versions, endpoints, predictions."""
