"""Bytes in a storage: blobs, their encryption, and where tables lie."""
