"""What the tool keeps about a replication inside of the two databases: who owns the rows, who leads, how far it came."""
