"""The host: asyncio around the engine. Feeds turns, carries out effects, checks servers, keeps time. Knows no routes."""
