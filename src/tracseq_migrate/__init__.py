"""Moves a monolith on PostgreSQL to microservices behind a flag-routed gateway, and back."""

__version__ = "0.1.0"
