"""Outlooks of a bundle, and their service over HTTP: access, limits of a connection, operations and the OpenAPI document."""
