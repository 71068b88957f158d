"""Files behind URLs and in buckets, copied to this machine before they are read."""
