"""Bad weather around the tool: disks, clocks, names, gateways, proxies and databases that fail while it is at work."""
