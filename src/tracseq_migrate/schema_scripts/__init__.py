"""Ordered SQL for one database: each script knows how it is deployed, how that is seen, and how it is taken back.

`parsing` and `lexing` are pure; `registry` is what the database itself knows of its scripts, and `deploying` brings them about, a
script and its row in the registry in one transaction, so that none is ever half there.
"""
