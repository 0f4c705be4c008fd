"""`make bench`: measurements beside peers and the machine's own limits. No pass or fail."""
