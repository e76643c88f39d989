"""What goes over the wire: one msgspec struct for each body and answer of the HTTP API, and how bodies are read.

These types validate requests, encode answers and make the OpenAPI document. They import nothing of Taskyard and know
nothing of HTTP, tokens or stores.
"""
