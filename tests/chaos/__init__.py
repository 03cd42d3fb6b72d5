"""The long suites: each goes on where it stopped, and its ledger adds up over runs. See `docs/reliability.md`."""
