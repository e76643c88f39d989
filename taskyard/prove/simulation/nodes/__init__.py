"""Several nodes in virtual time: the real `Node`, its asyncio code included, on a simulated store and network."""
