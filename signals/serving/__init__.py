"""Serving over HTTP: who may ask, what a connection costs, operations with their OpenAPI document, and scores."""
