"""Flags and traffic: the flag transaction, how gateways take flags up, who answered, and what a flip leaves behind."""
