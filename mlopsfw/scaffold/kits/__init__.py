"""The tests of the sample plugins, one module for each role."""
