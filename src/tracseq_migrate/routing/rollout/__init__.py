"""How the gateway's processes are made to take up new flags: one strategy a module, all of the `Rollout` port."""
