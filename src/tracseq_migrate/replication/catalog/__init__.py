"""What the databases say of themselves: tables, types, keys, rights. The live catalog is the only truth about a target."""
