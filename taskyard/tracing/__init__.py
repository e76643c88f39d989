"""Traces and metrics for an OpenTelemetry collector: what a node's spans say, and how they leave it.

`context` is W3C's text and needs nothing; all else needs the extra `otel` and is imported only when it is asked for.
"""
