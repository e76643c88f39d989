"""The host: asyncio around the engine. Feeds turns, carries out effects, checks servers. Knows no routes."""
