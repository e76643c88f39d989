"""HTTP in: the table of operations, and all that is made from it: routes, roles, validation, errors, OpenAPI.

Turns requests into facts and reads, and what comes back into answers. Decides nothing about tasks or servers.
"""
